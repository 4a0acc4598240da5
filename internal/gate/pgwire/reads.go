package pgwire

// account counts the reads of a request that was answered.
func (c *conn) account(r *request, p *pump) {
	now := c.g.Now()
	if len(p.expected) == 0 {
		a := r.Actions[0]
		c.reads.Add(now, a.Fingerprint, a.Shape, r.Text, nil, p.rows)
		return
	}
	for i := range p.expected[:min(p.done, len(p.expected))] {
		e := &p.expected[i]
		if e.typ != 'E' || e.portal == nil || e.portal.classified == nil || e.portal.statement == nil {
			continue
		}
		j := e.portal.classified
		c.reads.Add(now, j.Fingerprint, j.Shape, e.portal.statement.text, e.portal.tail, e.rows)
	}
}
