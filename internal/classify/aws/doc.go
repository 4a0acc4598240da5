// Package aws says what a call of AWS's APIs does, without making it.
//
// The one thing to know: it fails towards the worst. An operation that the table
// of awswire does not have is code of unknown effect on everything; a member that
// the model does not know leaves the call not understood; a selection that is
// empty, missing or a star is everything; a policy document that cannot be read
// may say anything.
//
// # How a call is judged
//
//   - The operation. verbs.txt gives a verb to the word that a name begins with,
//     and lists the exceptions that somebody reviewed, one class a section: what looks
//     like a read and is none, what hands out credentials, what installs code, what
//     gives rights, what protects. An operation may do several things: DeleteTrail
//     removes, and it weakens a protection.
//   - Its members, whatever the service: AWS names alike what does alike. Switches
//     of protections, capacities of 0, times that something is kept, force, public
//     access, policy documents, code, roles that are handed over, labels that say
//     where a thing stands. See members.go, tags.go, passrole.go, policydoc.go.
//   - Its own rule, where the service has one: s3.go, ec2.go, dynamodb.go,
//     databases.go, compute.go, identity.go, watch.go, template.go.
//
// # What it is about
//
// The member whose name fits the operation's best names the resource: AWS's types
// in lower case ("db-instance"), prefixed with the service where another protocol
// has that word too ("dynamodb-table"). A thing has one name, whether a call gives
// its name, its ARN or its URL. Objects and items are parts of their bucket and
// table, which is where memory counts them.
//
// # What is not seen
//
// What is there now: what a stack has that its new template has not, how many
// objects a prefix matches, whether a retention of 30 days is more or less than
// before. Against the first two stand probes at the live target; against the last,
// memory: see policies/sequences.cedar.
package aws
