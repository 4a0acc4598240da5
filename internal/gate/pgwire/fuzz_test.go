package pgwire

import (
	"bytes"
	"testing"
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
// messages.
func FuzzFrontend(f *testing.F) {
	f.Add(appendSync(appendExecute(appendBind(appendParse(nil, "s", "SELECT $1", []uint32{23}), "p", "s", []byte{0, 0, 0, 1, 0, 0, 0, 1, '7', 0, 0}), "p")))
	f.Add(appendQuery(nil, "SELECT 1"))
	f.Add(appendClose(nil, 'S', "s"))
	f.Add([]byte{'Q', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := frames{src: bytes.NewReader(data), limit: 1 << 16}
		view := overlay{c: &conn{}}
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
			if view.decode(&s, in.body(0, size)) == nil {
				steps = append(steps, s)
				view.add(steps)
			}
			if in.drop(size) != size {
				t.Fatal("message was not there")
			}
		}
	})
}
