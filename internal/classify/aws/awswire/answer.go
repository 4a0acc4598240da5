package awswire

import (
	"errors"
	"fmt"
	"net/http"
)

// A ServiceError is an error that the service answered.
type ServiceError struct {
	Status  int    // of HTTP
	Code    string // "ValidationError", without namespace
	Message string
}

func (e *ServiceError) Error() string {
	return fmt.Sprintf("%s (HTTP status %d): %s", e.Code, e.Status, e.Message)
}

// An Answer is what a service answered, with members in API names. Elements of
// the paths below are names of members, keys of maps, or, in decimal, indices of
// lists. What is not there is empty.
type Answer struct{ members map[string]any }

// ReadAnswer decodes what a service answered to the operation. An answer with an
// error status is a *ServiceError.
func ReadAnswer(o *Operation, status int, h http.Header, body []byte) (Answer, error) {
	return Answer{}, errors.ErrUnsupported
}
