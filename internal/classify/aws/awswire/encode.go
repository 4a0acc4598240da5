package awswire

import (
	"errors"
	"net/http"
)

// Encode writes a call as the service's protocol has it.
func Encode(o *Operation, params map[string]any, region, endpoint string) (*http.Request, error) {
	return nil, errors.ErrUnsupported
}
