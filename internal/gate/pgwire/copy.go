package pgwire

import "fmt"

// copyIn passes the data of a COPY from the client to the server, until the
// client ends it or the server gives up. What the server says meanwhile is
// waited for by a goroutine that touches nothing but the server's buffer.
func (c *conn) copyIn() error {
	if err := c.client.flush(); err != nil {
		return err
	}
	c.client.copying = true
	defer func() { c.client.copying = false }()
	heard := make(chan error, 1)
	listen := func() {
		go func() {
			heard <- c.g.guarded("COPY", func() error {
				_, _, err := c.server.in.head(0)
				return err
			})
		}()
	}
	listen()
	reported := false // the goroutine has reported, and does not run
	defer func() {
		if !reported {
			<-heard // it ends: the server answers the end of a COPY, or is cut
		}
	}()
	for {
		select {
		case err := <-heard:
			reported = true
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
			listen()
			reported = false
			continue
		default:
		}
		typ, size, err := c.client.in.head(0)
		if err != nil {
			c.server.conn.Close() // ends the goroutine, and the COPY with an error
			return err
		}
		switch typ {
		case 'd', 'c', 'f':
			if err := c.copyData(typ, size); err != nil {
				return err
			}
			if typ != 'd' {
				return nil
			}
		case 'H', 'S':
			c.client.in.drop(size) // ignored during a COPY, as PostgreSQL does
		default:
			c.server.conn.Close()
			return fmt.Errorf("%w: message of type %q during COPY", errProtocol, typ)
		}
	}
}

// copyData forwards one message of a COPY, and with it all that follow it whole
// in the buffer.
func (c *conn) copyData(typ byte, size int) error {
	for typ == 'd' && c.client.in.whole(size) && c.client.in.raw(size, 1)[0] == 'd' {
		_, more, err := c.client.in.head(size)
		if err != nil {
			return err
		}
		size += more
	}
	for size > 0 {
		if c.client.in.buffered() == 0 {
			if err := c.client.in.fill(1); err != nil {
				c.server.conn.Close()
				return err
			}
		}
		part := c.client.in.raw(0, size)
		if err := c.server.write(part); err != nil {
			return &lostError{err: err}
		}
		size -= c.client.in.drop(len(part))
	}
	return nil
}

// copySync waits for the Sync that a client sends after a COPY in the extended
// protocol: the one before it was taken for part of the COPY.
func (c *conn) copySync(p *pump) error {
	c.awaitsSync = false
	for {
		typ, size, err := c.client.in.at(0)
		if err != nil {
			return err
		}
		if typ != 'S' && typ != 'H' {
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
