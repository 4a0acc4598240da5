package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

// A Chain signs the chunks of one body, each over the signature of the one
// before it. It begins with the signature of the request's headers.
type Chain struct {
	key      []byte
	time     string
	scope    string
	previous string // hexadecimal
}

// NewChain begins a chain for a request that was signed at t with secret; seed
// is the signature in its Authorization header, in hexadecimal.
func NewChain(secret, region, service string, t time.Time, seed string) *Chain {
	day := t.UTC().Format(dayFormat)
	return &Chain{
		key:      signingKey(secret, day, region, service),
		time:     t.UTC().Format(timeFormat),
		scope:    day + "/" + region + "/" + service + "/aws4_request",
		previous: seed,
	}
}

// chunk gives the signature of the next chunk, of which sum is the hash.
func (c *Chain) chunk(sum hash.Hash) string {
	c.previous = c.sign(algorithm+"-PAYLOAD", EmptyPayload+"\n"+hex.EncodeToString(sum.Sum(nil)))
	return c.previous
}

// trailer gives the signature of the trailers, each a line "name:value\n".
func (c *Chain) trailer(lines string) string {
	sum := sha256.Sum256([]byte(lines))
	c.previous = c.sign(algorithm+"-TRAILER", hex.EncodeToString(sum[:]))
	return c.previous
}

func (c *Chain) sign(what, rest string) string {
	return hex.EncodeToString(mac(c.key, what+"\n"+c.time+"\n"+c.scope+"\n"+c.previous+"\n"+rest))
}
