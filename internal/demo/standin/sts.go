package standin

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// An assumed is somebody who assumed a role, with the credential for it.
type assumed struct {
	arn        string
	credential aws.Credentials
	expires    time.Time // by the real clock: the SDKs look at it
}

// sts knows who signed, and lets everybody be whom he likes.
func (c *Cloud) sts(caller, name string, p url.Values) (any, error) {
	switch name {
	case "GetCallerIdentity":
		return struct {
			Arn     string
			UserID  string `xml:"UserId"`
			Account string
		}{caller, "AROASTANDIN", Account}, nil
	case "AssumeRole":
		return c.assumeRole(p)
	}
	return nil, notImplemented("sts " + name)
}

func (c *Cloud) assumeRole(p url.Values) (any, error) {
	role, ok := strings.CutPrefix(p.Get("RoleArn"), "arn:"+partition+":iam::"+Account+":role/")
	if !ok || p.Get("RoleSessionName") == "" {
		return nil, &refusal{http.StatusForbidden, "AccessDenied", "there is no such role: " + p.Get("RoleArn")}
	}
	a := assumed{
		arn:     "arn:" + partition + ":sts::" + Account + ":assumed-role/" + role + "/" + p.Get("RoleSessionName"),
		expires: time.Now().Add(time.Hour),
	}
	a.credential.AccessKeyID, a.credential.SecretAccessKey = "ASIA"+rand.Text()[:16], rand.Text()+rand.Text()[:14]
	a.credential.SessionToken = rand.Text()
	c.roles[a.credential.AccessKeyID] = a
	type credential struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
	type user struct{ Arn, AssumedRoleId string }
	return struct {
		Credentials     credential
		AssumedRoleUser user
	}{
		credential{a.credential.AccessKeyID, a.credential.SecretAccessKey, a.credential.SessionToken,
			a.expires.UTC().Format(time.RFC3339)},
		user{a.arn, "AROASTANDIN:" + p.Get("RoleSessionName")},
	}, nil
}

// who gives the ARN and the credential behind an access key id.
func (c *Cloud) who(id string) (arn string, credential aws.Credentials, ok bool) {
	if id == c.AccessKeyID {
		_, role, _ := strings.Cut(Role, ":role/")
		return "arn:" + partition + ":sts::" + Account + ":assumed-role/" + role + "/alice",
			aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.roles[id]
	return a.arn, a.credential, ok && time.Now().Before(a.expires)
}
