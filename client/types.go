package client

import (
	"encoding/json"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A Caller is who a credential stands for: a person or a session.
type Caller struct {
	Person  *Person            `json:"person,omitempty" doc:"the human, where the credential is a human's"`
	Session *signalbox.Session `json:"session,omitempty" doc:"the session, where the credential is a session's"`
}

// A Person is an enrolled human.
type Person struct {
	Name   string    `json:"name"`
	Groups []string  `json:"groups" nullable:"false"`
	Admin  bool      `json:"admin" doc:"may enrol people and change policies"`
	Added  time.Time `json:"added"`
}

// NewPerson enrols a human.
type NewPerson struct {
	Name   string   `json:"name" minLength:"1" maxLength:"64"`
	Groups []string `json:"groups,omitempty" nullable:"false" maxItems:"64"`
	Admin  bool     `json:"admin,omitempty"`
	// Replace changes groups and rights of somebody who is enrolled already,
	// and voids his old token.
	Replace bool `json:"replace,omitempty"`
}

// An Enrolment is a human with the token that proves him. The token is shown
// this once and not kept by the server.
type Enrolment struct {
	Person Person `json:"person"`
	Token  string `json:"token" doc:"shown this once"`
}

// Login uses up the one-time code that a server prints while nobody is
// enrolled, and enrols its first administrator.
type Login struct {
	Code   string   `json:"code" minLength:"1" maxLength:"128"`
	Name   string   `json:"name" minLength:"1" maxLength:"64"`
	Groups []string `json:"groups,omitempty" nullable:"false" maxItems:"64"`
}

// A Server says what a server is, to those who have a credential.
type Server struct {
	Version    string           `json:"version"`
	URL        string           `json:"url" doc:"how people reach the server"`
	Log        string           `json:"log" doc:"the log's origin"`
	Verifier   string           `json:"verifier" doc:"the log's public key, as a note verifier"`
	Policy     signalbox.Digest `json:"policy" doc:"version of the active policy set"`
	User       int              `json:"user" doc:"id of the operating system's user that the server runs as, -1 if there is none"`
	Production bool             `json:"production" doc:"some gate stands before production"`
	Secrets    []string         `json:"secrets,omitempty" nullable:"false" doc:"names of the environment variables that the server reads secrets from; told to humans alone"`
}

// A Gate is an entrance, as its clients must know it.
type Gate struct {
	Name        string                `json:"name"`
	Kind        string                `json:"kind" doc:"the protocol"`
	Environment signalbox.Environment `json:"environment"`
	Target      string                `json:"target" doc:"what stands behind, as it is named in the log"`
	Host        string                `json:"host"`
	Port        int                   `json:"port"`
	Database    string                `json:"database,omitempty" doc:"the database to connect to"`
	Region      string                `json:"region,omitempty" doc:"the AWS region of clients that name no other"`
	CA          string                `json:"ca,omitempty" doc:"PEM of the authority that signed the gate's certificate; empty for those of the system"`
}

// NewSession opens a session: an agent's for the calling human, an
// automation's, or, with neither named, the human's own.
type NewSession struct {
	Agent      string   `json:"agent,omitempty" maxLength:"64"`
	Automation string   `json:"automation,omitempty" maxLength:"64"`
	Purpose    string   `json:"purpose,omitempty" maxLength:"1024"`
	Gates      []string `json:"gates,omitempty" nullable:"false" maxItems:"64" doc:"gates it may use; empty for all"`
	TTL        string   `json:"ttl,omitempty" maxLength:"32" example:"2h" doc:"how long it lasts; empty for the server's default"`
	Wait       bool     `json:"wait,omitempty" doc:"what is held waits in the gate for its approvals, where the protocol's clients have the patience (PostgreSQL, outside of transactions)"`
}

// An OpenedSession is a session with its credentials, which are shown this once.
type OpenedSession struct {
	Session     signalbox.Session `json:"session"`
	Credentials map[string]string `json:"credentials" doc:"a password for each gate by name, and a token for this API under \"api\""`
}

// A Hold is a request that waits for approvals, or waited.
type Hold struct {
	ID          string                `json:"id"`
	URL         string                `json:"url" doc:"its page, for people"`
	Status      string                `json:"status" enum:"open,approved,used,refused,withdrawn,expired,dead"`
	Why         string                `json:"why,omitempty" doc:"why it was refused or died"`
	Session     signalbox.SessionID   `json:"session"`
	Purpose     string                `json:"purpose,omitempty" doc:"what its session is for, in the requester's own words: untrusted, show it quoted"`
	Actor       signalbox.Actor       `json:"actor"`
	Gate        string                `json:"gate"`
	Target      string                `json:"target"`
	Environment signalbox.Environment `json:"environment"`
	Facts       []string              `json:"facts,omitempty" nullable:"false" doc:"what the gate found out; comes first when shown"`
	Actions     []signalbox.Action    `json:"actions" nullable:"false"`
	Request     string                `json:"request" doc:"the whole text as the client sent it: untrusted, show it quoted"`
	State       signalbox.State       `json:"state,omitempty" nullable:"false" doc:"identity of what is touched; bound by equality"`
	Ceiling     signalbox.Impact      `json:"ceiling" doc:"the approved impact, as a ceiling"`
	Verdict     signalbox.Verdict     `json:"verdict"`
	Missing     string                `json:"missing,omitempty" doc:"what is still missing, while it is open"`
	Digest      signalbox.Digest      `json:"digest" doc:"what an approval is bound to"`
	Policy      signalbox.Digest      `json:"policy"`
	Opened      time.Time             `json:"opened"`
	Expires     time.Time             `json:"expires" doc:"of the hold while open, of the permit once approved"`
	Confirmed   bool                  `json:"confirmed,omitempty"`
	Answers     []Answer              `json:"answers,omitempty" nullable:"false"`
	Intent      string                `json:"intent,omitempty" doc:"id of the log entry of what was executed under it"`
}

// An Answer is one human's yes or no to a hold.
type Answer struct {
	By      string    `json:"by"`
	Yes     bool      `json:"yes"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// A Comment goes with an answer.
type Comment struct {
	Comment string `json:"comment,omitempty" maxLength:"2048"`
}

// A Reason says why somebody does something that others will want to know of.
type Reason struct {
	Reason string `json:"reason,omitempty" maxLength:"2048"`
}

// A Halt stops a session, an actor, a gate or everything.
type Halt struct {
	Scope  string    `json:"scope" enum:"session,actor,gate,all"`
	Name   string    `json:"name,omitempty" maxLength:"64" doc:"whose; empty for all"`
	Reason string    `json:"reason,omitempty" maxLength:"2048"`
	By     string    `json:"by,omitempty" readOnly:"true"`
	At     time.Time `json:"at,omitzero" readOnly:"true"`
}

// A Resume takes a halt back.
type Resume struct {
	Scope  string `json:"scope" enum:"session,actor,gate,all"`
	Name   string `json:"name,omitempty" maxLength:"64"`
	Reason string `json:"reason,omitempty" maxLength:"2048"`
}

// A Freeze is a window in which nobody changes anything.
type Freeze struct {
	ID           string                  `json:"id,omitempty" readOnly:"true"`
	Environments []signalbox.Environment `json:"environments,omitempty" nullable:"false" maxItems:"64" doc:"empty together with gates: everything"`
	Gates        []string                `json:"gates,omitempty" nullable:"false" maxItems:"64"`
	From         time.Time               `json:"from,omitzero" doc:"left out for at once"`
	Until        time.Time               `json:"until"`
	Reason       string                  `json:"reason,omitempty" maxLength:"2048"`
	By           string                  `json:"by,omitempty" readOnly:"true"`
	Ended        time.Time               `json:"ended,omitzero" readOnly:"true"`
}

// BreakGlass is the loud, short way through a freeze or past a hold, for the
// calling human alone.
type BreakGlass struct {
	ID      string           `json:"id,omitempty" readOnly:"true"`
	Gates   []string         `json:"gates" nullable:"false" minItems:"1" maxItems:"64"`
	Verbs   []signalbox.Verb `json:"verbs" nullable:"false" minItems:"1" maxItems:"8"`
	Reason  string           `json:"reason" minLength:"1" maxLength:"2048"`
	Expires time.Time        `json:"expires"`
	From    time.Time        `json:"from,omitzero" readOnly:"true"`
	By      string           `json:"by,omitempty" readOnly:"true"`
	Ended   time.Time        `json:"ended,omitzero" readOnly:"true"`
}

// A LogHead is the newest tree head of the log.
type LogHead struct {
	Origin     string `json:"origin"`
	Verifier   string `json:"verifier" doc:"the log's public key, as a note verifier"`
	Size       int64  `json:"size" doc:"entries committed"`
	Published  int64  `json:"published" doc:"entries under the published checkpoint"`
	Checkpoint string `json:"checkpoint" doc:"signed tree head of size entries (c2sp.org/tlog-checkpoint)"`
}

// An Entry is one log entry in the clear.
type Entry struct {
	Index int64           `json:"index"`
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	Time  time.Time       `json:"time"`
	Text  string          `json:"text" doc:"what the entry tells, in words for people: nothing to parse"`
	Entry json.RawMessage `json:"entry" doc:"the leaf itself: what is hashed into the tree"`
}

// A Proof proves one entry to somebody who trusts only the log's key.
type Proof struct {
	Index int64  `json:"index"`
	Leaf  []byte `json:"leaf" doc:"the entry's bytes, in base64"`
	Proof string `json:"proof" doc:"c2sp.org/tlog-proof"`
}

// A Disclosure opens one hidden field of an entry.
type Disclosure struct {
	Name       string          `json:"name"`
	Value      json.RawMessage `json:"value"`
	Digest     string          `json:"digest" doc:"stands in the entry's _sd"`
	Disclosure string          `json:"disclosure" doc:"RFC 9901 section 4.2.1: hand this to an auditor"`
}

// A Policy is a version of the policy set.
type Policy struct {
	Version signalbox.Digest `json:"version"`
	Status  string           `json:"status" enum:"active,proposed,refused,past"`
	By      string           `json:"by"`
	At      time.Time        `json:"at"`
	Files   []PolicyFile     `json:"files,omitempty" nullable:"false"`
}

// A PolicyFile is one file of a policy set.
type PolicyFile struct {
	Name string `json:"name" maxLength:"255"`
	Text string `json:"text" maxLength:"1048576"`
}

// NewPolicy proposes a policy set.
type NewPolicy struct {
	Files []PolicyFile `json:"files" nullable:"false" minItems:"1" maxItems:"256"`
}
