package aws

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// whoAmI answers sts:GetCallerIdentity: as whom the client acts here. AWS would
// tell as whom the gate does.
func (x *exchange) whoAmI(c *call) error {
	e := &execution{x: x, c: c}
	e.run = func(context.Context, *interlock.Permit) (signalbox.Outcome, error) {
		return signalbox.Outcome{Result: signalbox.Done, Rows: 1}, nil
	}
	done, err := x.admit(c, e)
	if err != nil && !done {
		return err
	}
	if done {
		return err // people had to approve it; nobody asks for that
	}
	type result struct {
		Arn     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string `xml:"Account"`
	}
	s := x.session
	r := result{
		Arn: fmt.Sprintf("arn:%s:sts::%s:assumed-role/signalbox/%s", partitionOf(c.region), x.g.Upstream.Account,
			s.Actor.Name),
		UserID: string(s.ID), Account: x.g.Upstream.Account,
	}
	if x.role != nil {
		r.Arn = x.role.arn()
		r.UserID, r.Account = string(s.ID)+":"+x.role.claim.Name, x.role.account
	}
	return x.reply(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		Result    result   `xml:"GetCallerIdentityResult"`
		RequestID string   `xml:"ResponseMetadata>RequestId"`
	}{Result: r, RequestID: x.id})
}

// partitionOf names the partition of a region.
func partitionOf(region string) string {
	if a, err := awswire.Endpoint("sts", region); err == nil {
		return a.Partition
	}
	return "aws"
}

// reply answers in the query protocol, for the gate itself.
func (x *exchange) reply(v any) error {
	body, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	x.answer = &answer{
		status: http.StatusOK, complete: true, head: body, length: int64(len(body)),
		header: http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {x.id},
			"Content-Length": {fmt.Sprint(len(body))}},
	}
	return x.release()
}

// assumeRole has the gate assume a role and gives the client virtual credentials
// for it.
func (x *exchange) assumeRole(c *call) error {
	claim, err := x.g.claim(c.params, x.role)
	if err != nil {
		return err
	}
	c.minimum = x.g.minimum(claim)
	e := &execution{x: x, c: c}
	var given *role
	var answer awswire.Answer
	e.run = func(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
		var out signalbox.Outcome
		var err error
		given, answer, out, err = x.assume(ctx, e, claim, c.params, p.Intent)
		return out, err
	}
	if _, err := x.session.Do(x.ctx, c.request(), e); err != nil {
		return err
	}
	if e.refused != nil {
		return e.refused
	}
	type credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string `xml:"SecretAccessKey"`
		SessionToken    string `xml:"SessionToken"`
		Expiration      string `xml:"Expiration"`
	}
	type user struct {
		ID  string `xml:"AssumedRoleId"`
		Arn string `xml:"Arn"`
	}
	type result struct {
		User           user        `xml:"AssumedRoleUser"`
		Credentials    credentials `xml:"Credentials"`
		PackedPolicy   string      `xml:"PackedPolicySize,omitempty"`
		SourceIdentity string      `xml:"SourceIdentity,omitempty"`
	}
	return x.reply(struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
		Result    result   `xml:"AssumeRoleResult"`
		RequestID string   `xml:"ResponseMetadata>RequestId"`
	}{
		Result: result{
			User: user{answer.Text("AssumedRoleUser", "AssumedRoleId"), answer.Text("AssumedRoleUser", "Arn")},
			Credentials: credentials{
				roleKey + upper(x.session.ID), given.secret, given.token,
				given.claim.expires().UTC().Format(time.RFC3339),
			},
			PackedPolicy: answer.Text("PackedPolicySize"), SourceIdentity: answer.Text("SourceIdentity"),
		},
		RequestID: x.id,
	})
}
