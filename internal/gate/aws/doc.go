// Package aws is the gate for AWS accounts: a server that the AWS CLI, SDKs and
// infrastructure tools take for the endpoints of all of AWS's services.
//
// The one thing to know: clients sign with virtual credentials, which are worth
// nothing at AWS, and the gate signs anew what it forwards, with credentials
// that no client ever sees. So an endpoint that a client chooses by itself leads
// nowhere, and a request that reaches AWS has passed here.
//
// A request's life: its signature is verified and leads to a session (serve.go);
// its body is held whole or stands ready to stream (body.go); the operation table
// says what it asks for, and the classifier what that does (call.go); interlock
// decides and records; the call is signed anew and forwarded (forward.go); its
// answer is released (answer.go). What hands out credentials is done by the gate
// itself, which answers with virtual ones (sts.go, roles.go).
package aws
