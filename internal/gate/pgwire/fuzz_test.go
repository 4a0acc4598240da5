package pgwire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func FuzzStartup(f *testing.F) {
	f.Add(startup(3<<16, "user", "x", "options", "-c a=b --c=d"))
	f.Add(startup(3<<16|2, "user", "x", "_pq_.y", "z"))
	f.Add([]byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, packet, err := readStartup(bytes.NewReader(data), nil)
		if err != nil {
			return
		}
		if len(packet) > maxStartup {
			t.Fatalf("packet of %d bytes", len(packet))
		}
		asked, err := decodeStartup(packet)
		if err != nil {
			return
		}
		settings, err := startupSettings(asked)
		if err != nil {
			return
		}
		for _, s := range settings {
			if !plainName(s.name) {
				t.Fatalf("setting %q", s.name)
			}
		}
	})
}

// FuzzFrontend gives arbitrary bytes to everything that decodes a client's
// messages. What is judged must be what somebody else reads in them.
func FuzzFrontend(f *testing.F) {
	f.Add(appendSync(appendExecute(appendBind(appendParse(nil, "s", "SELECT $1", []uint32{23}), "p", "s",
		[]byte{0, 0, 0, 1, 0, 0, 0, 1, '7', 0, 0}), "p")))
	f.Add(appendBind(appendParse(nil, "", "SELECT $1, $2", []uint32{0, 25}), "", "",
		[]byte{0, 2, 0, 0, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 7, 0, 1, 0, 1}))
	f.Add(appendQuery(nil, "SELECT 1"))
	f.Add(appendClose(nil, 'S', "s"))
	f.Add([]byte{'Q', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := frames{src: bytes.NewReader(data), limit: 1 << 16}
		view := overlay{c: &conn{server: &backend{}}}
		var steps []step
		used := 0
		for {
			typ, size, err := in.at(0)
			if err != nil {
				return
			}
			if used += size; used > len(data) {
				t.Fatal("more than there is")
			}
			s := step{typ: typ, size: size}
			if body := in.body(0, size); view.decode(&s, body) == nil {
				sameMessage(t, s, body, view.c.params)
				steps = append(steps, s)
				view.add(steps)
			}
			if in.drop(size) != size {
				t.Fatal("message was not there")
			}
		}
	})
}

// sameMessage holds what was decoded against pgx's decoder, where that takes the
// message too.
func sameMessage(t *testing.T, s step, body []byte, params []param) {
	t.Helper()
	switch s.typ {
	case 'P':
		var m pgproto3.Parse
		if m.Decode(body) == nil && (m.Name != s.name || m.Query != s.statement.text ||
			!slices.Equal(m.ParameterOIDs, s.statement.types)) {
			t.Fatalf("parse %q: %q, %+v; others read %+v", body, s.name, s.statement, m)
		}
	case 'B':
		var m pgproto3.Bind
		if m.Decode(body) != nil {
			return
		}
		if m.DestinationPortal != s.name {
			t.Fatalf("bind %q: %q; others read %+v", body, s.name, m)
		}
		if s.portal.statement == nil {
			return // nobody looks at the parameters
		}
		if len(m.Parameters) != len(params) {
			t.Fatalf("bind %q: %d parameters; others read %+v", body, len(params), m)
		}
		for i, p := range params {
			format := int16(0)
			switch len(m.ParameterFormatCodes) {
			case 0:
			case 1:
				format = m.ParameterFormatCodes[0]
			default:
				format = m.ParameterFormatCodes[i]
			}
			if !bytes.Equal(p.value, m.Parameters[i]) || (p.value == nil) != (m.Parameters[i] == nil) ||
				p.binary != (format != 0) {
				t.Fatalf("bind %q: parameter %d is %+v; others read %+v", body, i, p, m)
			}
		}
	case 'D', 'C':
		var m pgproto3.Describe // a Close looks the same
		if m.Decode(body) == nil && (m.ObjectType != s.kind || m.Name != s.name) {
			t.Fatalf("target %q: %c %q; others read %+v", body, s.kind, s.name, m)
		}
	}
}

// FuzzBackend gives arbitrary bytes to what decodes a server's messages.
func FuzzBackend(f *testing.F) {
	for _, m := range []pgproto3.BackendMessage{
		&pgproto3.DataRow{Values: [][]byte{[]byte("a"), nil, {}}},
		&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: "m", Position: 3},
		&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 12")},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 9223372036854775808")},
	} {
		b, err := m.Encode(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[headerSize:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if row, err := decodeRow(body); err == nil && len(row) > len(body) {
			t.Fatalf("%d columns in %d bytes", len(row), len(body))
		}
		if e, err := decodeError(body); err == nil && e == nil {
			t.Fatal("neither an error nor its absence")
		}
		if n := commandRows(body); n < -1 {
			t.Fatalf("%q tells of %d rows", body, n)
		}
	})
}
