package pgwire

import (
	"fmt"
	"time"
)

// copyIn passes the data of a COPY from the client to the server, until the
// client ends it or the server gives up. What the server says meanwhile is
// waited for by a goroutine that touches nothing but the server's buffer, and that
// ends the wait for the client when something came.
func (c *conn) copyIn(extended bool) error {
	if err := c.client.flush(); err != nil {
		return err
	}
	c.client.copying = true
	defer func() { c.client.copying = false }()
	heard := make(chan error, 1)
	listen := func() {
		go func() {
			err := c.g.guarded("COPY", func() error {
				_, _, err := c.server.in.head(0)
				return err
			})
			c.client.wake()
			heard <- err
		}()
	}
	listen()
	reported := false // the goroutine has reported, and does not run
	defer func() {
		if !reported {
			<-heard // it ends: the server answers the end of a COPY, or is cut
		}
		c.listen()
	}()
	woken := false
	for {
		var err error
		if woken {
			select {
			case err = <-heard:
				reported = true
			case <-c.ctx.Done():
				c.server.conn.Close()
				return c.ctx.Err()
			}
		} else {
			select {
			case err = <-heard:
				reported = true
			default:
			}
		}
		if reported {
			if err != nil {
				return &lostError{err: err}
			}
			typ, size, err := c.server.in.at(0)
			if err != nil {
				return &lostError{err: err}
			}
			if typ != 'N' && typ != 'A' && typ != 'S' {
				return nil // an error: what the client still sends is dropped
			}
			c.server.aside(typ, size)
			c.server.in.drop(size)
			c.listen()
			listen()
			reported, woken = false, false
			continue
		}
		typ, size, err := c.client.in.head(0)
		if woken = timedOut(err); woken {
			continue
		}
		if err != nil {
			c.server.conn.Close() // ends the goroutine, and the COPY with an error
			return err
		}
		switch typ {
		case 'd', 'c', 'f':
			if woken, err = c.copyData(typ, size); err != nil {
				return err
			}
			if typ == 'd' {
				continue
			}
			if extended {
				// A Sync behind the Execute was taken for part of the COPY and
				// ignored, and the server keeps its answer until the next.
				c.server.flush()
				if err := c.server.send(); err != nil {
					return err
				}
			}
			return nil
		case 'H', 'S':
			c.client.in.drop(size) // ignored during a COPY, as PostgreSQL does
		default:
			c.server.conn.Close()
			return fmt.Errorf("%w: message of type %q during COPY", errProtocol, typ)
		}
	}
}

// listen has reads of the client wait again, after a wake that was answered.
func (c *conn) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.client.conn.SetReadDeadline(time.Time{})
	}
}

// copyData forwards one message of a COPY, and with it all that follow it whole
// in the buffer. woken says that the server has spoken meanwhile.
func (c *conn) copyData(typ byte, size int) (woken bool, err error) {
	for typ == 'd' && c.client.in.whole(size) && c.client.in.raw(size, 1)[0] == 'd' {
		_, more, err := c.client.in.head(size)
		if err != nil {
			return woken, err
		}
		size += more
	}
	for size > 0 {
		if c.client.in.buffered() == 0 {
			err := c.client.in.fill(1)
			if timedOut(err) && c.ctx.Err() == nil {
				woken = true
				c.listen()
				continue
			}
			if err != nil {
				c.server.conn.Close()
				return woken, err
			}
		}
		part := c.client.in.raw(0, size)
		if err := c.server.write(part); err != nil {
			return woken, &lostError{err: err}
		}
		size -= c.client.in.drop(len(part))
	}
	return woken, nil
}

// copySync waits for the Sync that a client sends after a COPY in the extended
// protocol: the one before it was taken for part of the COPY. When the COPY has
// failed, what the client had sent before it knew of that is skipped.
func (c *conn) copySync(p *pump) error {
	c.awaitsSync = false
	for {
		typ, size, err := c.client.in.at(0)
		if err != nil {
			return err
		}
		if typ == 'X' {
			return errTerminated
		}
		if typ != 'S' && typ != 'H' && !p.failed() {
			return fmt.Errorf("%w: message of type %q where a Sync was due after COPY", errProtocol, typ)
		}
		c.client.in.drop(size)
		if typ == 'S' {
			break
		}
	}
	c.client.skips, c.server.skips = false, false
	c.server.sync()
	if err := c.server.send(); err != nil {
		return err
	}
	p.replies, p.block = -1, false
	return p.run(c)
}
