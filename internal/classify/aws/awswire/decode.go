package awswire

import "errors"

// Decode gives the operation's parameters, with members in API names.
func Decode(o *Operation, r Request) (map[string]any, error) {
	return decode(o, &r, o.Service.Protocol)
}

func decode(o *Operation, r *Request, p Protocol) (map[string]any, error) {
	return nil, errors.ErrUnsupported
}
