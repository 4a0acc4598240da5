package signalbox

// A Reference is what the target itself calls a request: the ids by which its
// own log has it, in the order in which the gate learned them. A name may be
// there more than once. It may be empty: not every protocol has such ids, and
// not every request lives to get one.
//
// With it alone can our log and the target's be laid side by side later, and
// an unknown outcome be looked up. The log gets a commitment to it only.
type Reference []Fact

// The names of the facts in a [Reference].
const (
	// RefSession is the id of the session at the target: for PostgreSQL what %c
	// writes to its log, the hex of the backend's start in seconds, a dot, and
	// the hex of its process id.
	RefSession = "session"
	// RefTransaction is the id of the transaction at the target: for PostgreSQL
	// what pg_xact_status takes.
	RefTransaction = "transaction"
	// RefStatements is how many statements the target was sent for the intent,
	// the gate's own included.
	RefStatements = "statements"
	// RefRequest is the id that the target gave to the request: for AWS the
	// header x-amzn-requestid, or x-amz-request-id.
	RefRequest = "request"
	// RefRequest2 is the second half of that id, where there is one: for AWS the
	// header x-amz-id-2.
	RefRequest2 = "request2"
	// RefProbe is the id of a request that the gate itself made, to look at what
	// would be touched.
	RefProbe = "probe"
)
