package gate

import (
	"context"
	"net"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/explain"
)

// A Kind is a kind of gate: all that the rest of Signalbox must know of one
// protocol, to configure its gates, to open them, to lead clients there and to
// explain its requests. Every field is required unless it says otherwise.
type Kind struct {
	// Name is the protocol's in the configuration, the API, policies and the log.
	Name string
	// Title is what people call what is behind such gates: "PostgreSQL".
	Title string

	// Settings makes settings in which nothing is said yet: a pointer to a struct
	// whose yaml tags are the keys that gates of this kind have besides those of all
	// gates. Secrets in it are of type secret.Source, and names of files of type
	// [File]; neither stands in a list or a map.
	Settings func() Settings
	// Subdomains says that clients put names before the gate's host, for which its
	// certificate must be good too. Default false.
	Subdomains bool

	// Login makes of a what clients log in with: until then its user is the session's
	// id, and its password the session's credential at this gate. Default: nothing
	// is to be changed.
	Login func(a *Access)
	// Text tells people in one line how to reach a gate.
	Text func(a Access) string
	// Variables gives the environment variables that lead the protocol's tools to the
	// gates, of which there is one at least, as [os.Environ] does. With several gates
	// they must not choose one. It may write files.
	Variables func(gates []Access, f Folder) ([]string, error)
	// Choose says how a command chooses among several gates where files may hold
	// credentials, as in "with --profile NAME". Default: there is no way.
	Choose string

	// Leaks are variables that a command in a session must not get from its caller,
	// since they lead around the gate. Default none.
	Leaks []Leak
	// Harmless are names among those of Leaks that lead nowhere. Default none.
	Harmless []string

	// Explain begins a scenario of `signalbox explain`. What it gives reads the
	// scenario's requests of this kind.
	Explain func() explain.Reader
}

// Settings are what a gate is told that only gates of its kind are told.
type Settings interface {
	// Defaults fills in what was left out.
	Defaults()
	// Check reports what is wrong with complete settings. Secrets and files are
	// checked by who calls it.
	Check(r Report)
	// Target names what stands behind the gate: part of every digest and entry.
	Target() string
	// Tell adds what clients must know of what stands behind the gate.
	Tell(a *Access)
	// Open makes the gate, which does not listen yet. What c says of all gates comes
	// from the server.
	Open(c Config) (Gate, error)
}

// A Gate serves the clients of one target.
type Gate interface {
	// Serve accepts clients until the gate is shut down.
	Serve(ctx context.Context, l net.Listener) error
	// Shutdown refuses new clients, waits for those connected until ctx ends,
	// and cuts them.
	Shutdown(ctx context.Context) error
}

// A File is the name of a file in settings, which must exist. A relative one
// begins at the configuration's folder.
type File string

// A Report takes what is wrong with settings. A key is written as in the file,
// from the gate on: "upstream.accounts[0]".
type Report interface {
	// Problem says what is wrong at a key, and what to do about it if that is not
	// clear.
	Problem(key, problem, hint string)
	// OneOf reports a value that is none of those allowed; "" among them means that
	// the key may be left out.
	OneOf(key, value string, allowed ...string)
}

// Access is how a session reaches a gate, as SIGNALBOX_GATES and `signalbox
// session start --json` tell it.
type Access struct {
	Name        string                `json:"name"`
	Kind        string                `json:"kind"`
	Environment signalbox.Environment `json:"environment"`
	Host        string                `json:"host"`
	Port        int                   `json:"port"`
	Database    string                `json:"database,omitempty"`
	URL         string                `json:"url,omitempty"` // where clients are told one
	Region      string                `json:"region,omitempty"`
	User        string                `json:"user"`         // or the id of an access key
	Password    string                `json:"password"`     // or the secret of an access key
	CA          string                `json:"ca,omitempty"` // PEM of the authority, where there is no file
	CAFile      string                `json:"ca_file,omitempty"`
}

// SystemCAs is an [Access.CAFile] that says: the authorities of the system,
// wherever it keeps them.
const SystemCAs = "system"

// A Leak is a variable that a command must not get: by its name, or by what is in it.
type Leak struct {
	Name   string // in upper case; a * at its end stands for all names that begin so
	Value  string // how its value begins, whatever its name
	Reason string
}

// A Folder takes the files that variables lead to. It is the session's own.
type Folder struct {
	Path string
	// Secrets says that the folder is private and goes with the command, so that
	// files may hold credentials.
	Secrets bool
}

// Readers gives what `signalbox explain` reads requests with.
func Readers(kinds []Kind) map[string]func() explain.Reader {
	readers := make(map[string]func() explain.Reader, len(kinds))
	for _, k := range kinds {
		readers[k.Name] = k.Explain
	}
	return readers
}
