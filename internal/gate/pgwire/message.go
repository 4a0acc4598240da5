package pgwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"
)

// begin appends a message's type and room for its length; end fills it in.
func begin(buf []byte, typ byte) ([]byte, int) {
	return append(buf, typ, 0, 0, 0, 0), len(buf) + 1
}

func end(buf []byte, at int) []byte {
	binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at))
	return buf
}

func appendQuery(buf []byte, sql string) []byte {
	buf, at := begin(buf, 'Q')
	buf = append(buf, sql...)
	return end(append(buf, 0), at)
}

func appendParse(buf []byte, name, sql string, types []uint32) []byte {
	buf, at := begin(buf, 'P')
	buf = append(append(buf, name...), 0)
	buf = append(append(buf, sql...), 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(types)))
	for _, t := range types {
		buf = binary.BigEndian.AppendUint32(buf, t)
	}
	return end(buf, at)
}

// appendBind binds a statement to a portal; tail is what follows the two names
// in a Bind message: parameter formats, parameters, result formats.
func appendBind(buf []byte, portal, statement string, tail []byte) []byte {
	buf, at := begin(buf, 'B')
	buf = append(append(buf, portal...), 0)
	buf = append(append(buf, statement...), 0)
	return end(append(buf, tail...), at)
}

// bindNothing is the tail of a Bind without parameters, all results as text.
var bindNothing = []byte{0, 0, 0, 0, 0, 0}

func appendExecute(buf []byte, portal string) []byte {
	buf, at := begin(buf, 'E')
	buf = append(append(buf, portal...), 0)
	return end(append(buf, 0, 0, 0, 0), at)
}

func appendClose(buf []byte, kind byte, name string) []byte {
	buf, at := begin(buf, 'C')
	buf = append(buf, kind)
	return end(append(append(buf, name...), 0), at)
}

func appendSync(buf []byte) []byte  { return append(buf, 'S', 0, 0, 0, 4) }
func appendFlush(buf []byte) []byte { return append(buf, 'H', 0, 0, 0, 4) }

func readyForQuery(status byte) []byte { return []byte{'Z', 0, 0, 0, 5, status} }

func appendParameterStatus(buf []byte, name, value string) []byte {
	buf, at := begin(buf, 'S')
	buf = append(append(buf, name...), 0)
	return end(append(append(buf, value...), 0), at)
}

// errShort says that a message ends before its fields do.
var errShort = errors.New("message is cut short")

// cstring cuts a zero-terminated string off the front.
func cstring(b []byte) (s, rest []byte, err error) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, nil, errShort
	}
	return b[:i], b[i+1:], nil
}

// decodeParse gives name, text and declared parameter types of a Parse's body.
func decodeParse(b []byte) (name, text []byte, types []uint32, err error) {
	if name, b, err = cstring(b); err != nil {
		return nil, nil, nil, fmt.Errorf("parse: %w", err)
	}
	if text, b, err = cstring(b); err != nil {
		return nil, nil, nil, fmt.Errorf("parse: %w", err)
	}
	if len(b) < 2 {
		return nil, nil, nil, fmt.Errorf("parse: %w", errShort)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if len(b) != 4*n {
		return nil, nil, nil, fmt.Errorf("parse with %d types in %d bytes: %w", n, len(b), errShort)
	}
	for ; len(b) > 0; b = b[4:] {
		types = append(types, binary.BigEndian.Uint32(b))
	}
	return name, text, types, nil
}

// A param is one parameter of a Bind.
type param struct {
	value  []byte // nil: NULL
	binary bool
}

// decodeBind gives the names of a Bind's body and what follows them.
func decodeBind(b []byte) (portal, statement, tail []byte, err error) {
	if portal, b, err = cstring(b); err != nil {
		return nil, nil, nil, fmt.Errorf("bind: %w", err)
	}
	if statement, b, err = cstring(b); err != nil {
		return nil, nil, nil, fmt.Errorf("bind: %w", err)
	}
	return portal, statement, b, nil
}

// decodeParams appends the parameters in a Bind's tail to ps, and gives the
// result formats that follow them.
func decodeParams(ps []param, b []byte) ([]param, []byte, error) {
	fail := func() ([]param, []byte, error) { return nil, nil, fmt.Errorf("bind parameters: %w", errShort) }
	if len(b) < 2 {
		return fail()
	}
	formats := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if len(b) < 2*formats+2 {
		return fail()
	}
	codes := b[:2*formats]
	n := int(binary.BigEndian.Uint16(b[2*formats:]))
	b = b[2*formats+2:]
	if formats > 1 && formats != n {
		return nil, nil, &refusal{code: "08P01",
			message: fmt.Sprintf("bind message has %d parameter formats but %d parameters", formats, n)}
	}
	for i := range n {
		if len(b) < 4 {
			return fail()
		}
		var p param
		switch {
		case formats == 1:
			p.binary = codes[1] != 0 || codes[0] != 0
		case formats > 1:
			p.binary = codes[2*i] != 0 || codes[2*i+1] != 0
		}
		size := int32(binary.BigEndian.Uint32(b))
		b = b[4:]
		if size >= 0 {
			if int(size) > len(b) {
				return fail()
			}
			p.value = b[:size:size]
			b = b[size:]
		} else if size != -1 {
			return fail()
		}
		ps = append(ps, p)
	}
	if len(b) < 2 {
		return fail()
	}
	return ps, b, nil
}

// decodeTarget gives kind ('S' statement, 'P' portal) and name of the body of
// a Describe or Close.
func decodeTarget(b []byte) (kind byte, name []byte, err error) {
	if len(b) < 2 {
		return 0, nil, errShort
	}
	kind = b[0]
	if kind != 'S' && kind != 'P' {
		return 0, nil, fmt.Errorf("describe or close of kind %q", kind)
	}
	name, _, err = cstring(b[1:])
	return kind, name, err
}

// commandRows gives the number of rows that a CommandComplete's body tells: the
// last word of its tag, -1 if that is no number that an int64 surely holds.
func commandRows(b []byte) int64 {
	b = bytes.TrimSuffix(b, []byte{0})
	i := bytes.LastIndexByte(b, ' ')
	if digits := len(b) - (i + 1); i < 0 || digits == 0 || digits > 18 {
		return -1
	}
	var n int64
	for _, c := range b[i+1:] {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// decodeRow gives the columns of a DataRow's body as text, NULL as "".
func decodeRow(b []byte) ([]string, error) {
	var row pgproto3.DataRow
	if err := row.Decode(b); err != nil {
		return nil, err
	}
	columns := make([]string, len(row.Values))
	for i, v := range row.Values {
		columns[i] = string(v)
	}
	return columns, nil
}

// decodeError reads the body of an ErrorResponse or NoticeResponse.
func decodeError(b []byte) (*pgproto3.ErrorResponse, error) {
	e := &pgproto3.ErrorResponse{}
	if err := e.Decode(b); err != nil {
		return nil, fmt.Errorf("error response: %w", err)
	}
	return e, nil
}

// tagOf gives the tag within a CommandComplete message.
func tagOf(raw []byte) []byte {
	if len(raw) < headerSize+1 {
		return nil
	}
	return raw[headerSize : len(raw)-1]
}
