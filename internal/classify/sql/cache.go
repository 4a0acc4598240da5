package sql

import (
	"container/list"
	"encoding/binary"
	"sync"
)

// A Cache remembers classifications, so that a statement seen before costs a
// look-up and not a parse. It keys by the exact text, and, where no constant had
// a say in the verdict, by the text with its constants cut out; both together
// with the catalog's version. It is safe for concurrent use. Results share
// memory with the cache: they must not be changed.
type Cache struct {
	entries int
	bytes   int

	mu    sync.Mutex
	byKey map[string]*list.Element // of *cached
	order *list.List               // most recently used first
	held  int                      // bytes
	stats CacheStats
}

// CacheConfig bounds a cache.
type CacheConfig struct {
	// Entries is how many texts and templates are kept. Default 10,000.
	Entries int
	// Bytes bounds the memory held, roughly. Default 64 MiB.
	Bytes int
}

// CacheStats counts what a cache did.
type CacheStats struct {
	Exact    uint64 // answered for the very text
	Template uint64 // answered for a text that differs in constants
	Parsed   uint64 // not answered: parsed
}

type cached struct {
	key    string
	result Result
	size   int
}

// NewCache makes a cache.
func NewCache(cfg CacheConfig) *Cache {
	if cfg.Entries <= 0 {
		cfg.Entries = 10_000
	}
	if cfg.Bytes <= 0 {
		cfg.Bytes = 64 << 20
	}
	return &Cache{entries: cfg.Entries, bytes: cfg.Bytes, byKey: map[string]*list.Element{}, order: list.New()}
}

// Stats tells what the cache did so far.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Classify is [Classify] with memory.
func (c *Cache) Classify(text string, cat *Catalog) Result {
	return c.classify(text, cat, nil)
}

// maxCached is the longest text that is kept: longer ones are rare, and cheap to
// parse beside what they do.
const maxCached = 16 << 10

func (c *Cache) classify(text string, cat *Catalog, lookup lookup) Result {
	var version uint64
	if cat != nil {
		version = cat.Version
		if version == 0 { // not sealed: nothing says which catalog it is
			c = nil
		}
	}
	if c == nil || len(text) > maxCached {
		var r Result
		inTurn(text, func() {
			var buf [128]token
			r, _, _ = classify(text, cat, lexed(text, buf[:0]), lookup)
		})
		return r
	}
	var keyBuf [1024]byte
	exact := append(binary.LittleEndian.AppendUint64(keyBuf[:0], version), 'x')
	exact = append(exact, text...)
	if r, ok := c.look(exact); ok {
		c.count(func(s *CacheStats) { s.Exact++ })
		return r
	}
	var buf [128]token
	tokens := lex(text, buf[:0])
	var templateBuf [1024]byte
	template, ok := template(binary.LittleEndian.AppendUint64(templateBuf[:0], version), text, tokens)
	if ok {
		if r, ok := c.look(template); ok {
			c.count(func(s *CacheStats) { s.Template++ })
			return r.withText(text, tokens)
		}
	}
	r, steady, alone := classify(text, cat, tokens, lookup)
	c.count(func(s *CacheStats) { s.Parsed++ })
	switch {
	case !alone || r.Err != "": // what EXECUTE means is the session's alone
	case ok && steady && len(r.Statements) == 1:
		c.keep(template, r)
	default:
		c.keep(exact, r)
	}
	return r
}

// withText turns the result for a template into the result for a text.
func (r Result) withText(text string, tokens []token) Result {
	s := r.Statements[0]
	s.Text, s.Offset = trim(text, 0, len(trimEnd(text, tokens)))
	if s.Inner != nil {
		inner := *s.Inner
		if s.Runs == s.Inner {
			s.Runs = &inner
		}
		s.Inner = &inner
		s.tellInner()
	}
	r.Statements = []Statement{s}
	r.Literals = literals(text, tokens, len(r.Literals))
	return r
}

// trimEnd cuts the semicolons at the end of a text of one statement.
func trimEnd(text string, tokens []token) string {
	if n := len(statementTokens(text, tokens)); n < len(tokens) {
		return text[:tokens[n].start]
	}
	return text
}

// statementTokens leaves out the semicolons at the end.
func statementTokens(text string, tokens []token) []token {
	for n := len(tokens); n > 0; n-- {
		if t := tokens[n-1]; t.kind != tokPunct || text[t.start] != ';' {
			return tokens[:n]
		}
	}
	return nil
}

// template writes the text with constants cut out, as a key. It reports false
// for a text that cannot share a verdict with others.
func template(key []byte, text string, tokens []token) ([]byte, bool) {
	key = append(key, 't')
	for _, t := range statementTokens(text, tokens) {
		switch t.kind {
		case tokBad:
			return nil, false
		case tokString:
			// The prefix stays: B'1' and '1' are of different types.
			if text[t.start] != '\'' {
				return nil, false
			}
			key = append(key, 1)
		case tokNumber:
			key = append(key, 2)
		default:
			key = append(key, text[t.start:t.end]...)
			key = append(key, 0)
		}
	}
	return key, true
}

func (c *Cache) look(key []byte) (Result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[string(key)]
	if !ok {
		return Result{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).result, true
}

func (c *Cache) count(f func(*CacheStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *Cache) keep(key []byte, r Result) {
	// A tree of actions, names and the strings that they share.
	size := 2*len(key) + len(r.Shape) + 512*(1+len(r.Statements))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[string(key)]; ok || size > c.bytes {
		return
	}
	k := string(key)
	c.byKey[k] = c.order.PushFront(&cached{key: k, result: r, size: size})
	c.held += size
	for c.held > c.bytes || len(c.byKey) > c.entries {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached)
		delete(c.byKey, old.key)
		c.held -= old.size
	}
}
