package pgwire

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// Reasons why rows were not counted, for approvers.
var (
	errUncountable = errors.New("a statement cannot be counted without a risk of doing something")
	errUncounted   = errors.New("the server did not count in time")
)

// countTouched counts the rows that INSERT … SELECT, UPDATE and DELETE would touch
// now, by SELECTs that the classifier knows to do nothing else.
func (b *backend) countTouched(planned []bound) (int64, error) {
	var questions []question
	for _, p := range planned {
		query, used, ok := sql.Counting(p.Text, b.names.catalog)
		if !ok {
			return 0, errUncountable
		}
		q, err := withParams(query, used, p)
		if err != nil {
			return 0, err
		}
		questions = append(questions, q)
	}
	var total int64
	for _, q := range questions {
		n, err := b.count(q)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// count asks for one number, within the probe's time.
func (b *backend) count(q question) (int64, error) {
	answers, err := b.probeAll([]question{{sql: b.probeTimeout()}, q})
	if err != nil {
		return 0, err
	}
	if a := answers[1]; a.failed != nil || len(a.rows) != 1 {
		return 0, errUncounted
	}
	return strconv.ParseInt(answers[1].rows[0][0], 10, 64)
}

// withParams asks a query that uses some of a statement's parameters.
func withParams(query string, used []int, of bound) (question, error) {
	q := question{sql: query, types: of.types}
	if of.tail == nil {
		return q, nil
	}
	params, _, err := decodeParams(nil, of.tail)
	if err == nil {
		q.types, q.tail = onlyParams(params, of.types, used)
	}
	return q, err
}

// textOID is the type text.
const textOID = 25

// onlyParams gives types and Bind's tail for a query that uses some of a
// statement's parameters: the server wants the others to have a type, and no
// value of theirs matters.
func onlyParams(params []param, types []uint32, used []int) ([]uint32, []byte) {
	given := make([]uint32, len(params))
	copy(given, types)
	tail := binary.BigEndian.AppendUint16(nil, uint16(len(params)))
	for _, p := range params {
		format := uint16(0)
		if p.binary {
			format = 1
		}
		tail = binary.BigEndian.AppendUint16(tail, format)
	}
	tail = binary.BigEndian.AppendUint16(tail, uint16(len(params)))
	for i, p := range params {
		switch {
		case !slices.Contains(used, i+1):
			given[i] = textOID
			fallthrough
		case p.value == nil:
			tail = binary.BigEndian.AppendUint32(tail, 0xffffffff)
		default:
			tail = binary.BigEndian.AppendUint32(tail, uint32(len(p.value)))
			tail = append(tail, p.value...)
		}
	}
	return given, append(tail, 0, 0) // the answer as text
}
