package signalbox

// A Result is how an executed action ended.
type Result string

// The results. ResultUnknown is never guessed away: a lost reply is unknown.
const (
	Done          Result = "done"
	Failed        Result = "failed"
	ResultUnknown Result = "unknown"
)

// An Outcome is what was observed after an action was forwarded.
type Outcome struct {
	Result Result `json:"result"`
	// Code is the target's own code: a SQLSTATE, an HTTP status. Logged in the
	// clear, unlike Detail.
	Code string `json:"code,omitempty"`
	// Detail is the target's text. It may hold row values or secrets, so the
	// log gets a commitment to it only.
	Detail string `json:"detail,omitempty"`
	// Rows counts rows or objects touched, [CountUnknown] if the target did
	// not say.
	Rows int64 `json:"rows"`
	// Touched breaks the count down by resource name where it was measured,
	// rows reached by cascades included.
	Touched map[string]int64 `json:"touched,omitempty"`
	// Reference is what the target calls the request. The log gets a
	// commitment to it only.
	Reference Reference `json:"reference,omitempty"`
}
