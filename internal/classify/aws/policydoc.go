package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// A document is a policy of IAM's, as far as it matters here.
type document struct {
	Statements []statement
	iam        bool // has statements; a lifecycle or a scaling policy has none
}

type statement struct {
	Effect       string
	Actions      []string
	NotActions   []string
	Resources    []string
	NotResources bool
	Principals   []string // "*", account numbers, ARNs, names of services
	NotPrincipal bool
	Conditions   bool
}

var errDuplicate = errors.New("a member occurs twice")

// maxDocument is the longest document that is read. AWS's own limit for most
// is 20 KiB.
const maxDocument = 1 << 20

// decode reads JSON strictly: one value, no member twice, nothing behind it.
func decode(s string) (any, error) {
	if len(s) > maxDocument {
		return nil, fmt.Errorf("longer than %d bytes", maxDocument)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nests too deep")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m, seen := map[string]any{}, map[string]bool{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := k.(string)
			if seen[name] {
				return nil, errDuplicate
			}
			seen[name] = true
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			m[name] = v
		}
		_, err := d.Token()
		return m, err
	case json.Delim('['):
		l := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err := d.Token()
		return l, err
	case nil:
		return nil, nil
	}
	return t, nil
}

func readDocument(s string) (document, error) {
	v, err := decode(s)
	if err != nil {
		return document{}, err
	}
	return documentOf(v), nil
}

func documentOf(v any) document {
	m, _ := v.(map[string]any)
	p := params(m)
	var d document
	all := p.structs("Statement")
	if one := p.sub("Statement"); one != nil {
		all = append(all, one)
	}
	d.iam = p.has("Statement")
	for _, s := range all {
		st := statement{
			Effect: s.text("Effect"), Actions: s.texts("Action"), NotActions: s.texts("NotAction"),
			Resources: s.texts("Resource"), NotResources: s.has("NotResource"),
			NotPrincipal: s.has("NotPrincipal"), Conditions: len(s.sub("Condition")) > 0,
		}
		switch pr := s.get("Principal").(type) {
		case map[string]any:
			for _, k := range sortedKeys(pr) {
				for _, name := range texts(pr[k]) {
					if strings.EqualFold(k, "Service") {
						name = "service:" + name
					}
					st.Principals = append(st.Principals, name)
				}
			}
		default:
			st.Principals = texts(pr)
		}
		d.Statements = append(d.Statements, st)
	}
	return d
}

// escalating are the actions with which one gives oneself any right.
var escalating = []string{
	"iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile", "iam:AttachUserPolicy",
	"iam:AttachGroupPolicy", "iam:AttachRolePolicy",
	"iam:PutUserPolicy", "iam:PutGroupPolicy", "iam:PutRolePolicy", "iam:AddUserToGroup",
	"iam:UpdateAssumeRolePolicy", "iam:CreatePolicyVersion",
	"iam:SetDefaultPolicyVersion", "iam:DeleteRolePermissionsBoundary", "iam:DeleteUserPermissionsBoundary",
	"iam:PassRole",
	"iam:CreateUser", "iam:PutRolePermissionsBoundary", "sts:AssumeRole", "organizations:AttachPolicy",
	"sso:CreateAccountAssignment",
}

func covers(pattern, action string) bool {
	return match(strings.ToLower(pattern), strings.ToLower(action))
}

// match compares with a pattern of * and ?.
func match(pattern, s string) bool {
	p, i, star, back := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, i
			p++
		case p < len(pattern) && (pattern[p] == s[i] || pattern[p] == '?'):
			p, i = p+1, i+1
		case star >= 0:
			back++
			p, i = star+1, back
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func everyResource(st statement) bool {
	if st.NotResources {
		return true
	}
	for _, r := range st.Resources {
		if strings.Trim(r, "*:") == "" || strings.HasPrefix(r, "arn:aws:iam::") && strings.HasSuffix(r, "*") {
			return true
		}
	}
	return false
}

// admin reports whether a statement gives rights without limit, or the right to
// take them.
func (st statement) admin() bool {
	if st.Effect != "Allow" || !everyResource(st) {
		return false
	}
	if len(st.NotActions) > 0 {
		return true
	}
	for _, a := range st.Actions {
		l := strings.ToLower(a)
		if strings.Trim(l, "*:") == "" || l == "iam:*" || l == "sts:*" || l == "organizations:*" || l == "sso:*" {
			return true
		}
		for _, e := range escalating {
			if covers(a, e) {
				return true
			}
		}
	}
	return false
}

// everybody reports whether a statement lets anybody in.
func (st statement) everybody() bool {
	if st.Effect != "Allow" {
		return false
	}
	if st.NotPrincipal {
		return true
	}
	for _, p := range st.Principals {
		if p == "*" {
			return true
		}
	}
	return false
}

// accounts gives the accounts that a statement lets in.
func (st statement) accounts() []string {
	var out []string
	if st.Effect != "Allow" {
		return nil
	}
	for _, p := range st.Principals {
		if a, ok := readARN(p); ok && a.account != "" {
			out = append(out, a.account)
		} else if len(p) == 12 && strings.Trim(p, "0123456789") == "" {
			out = append(out, p)
		}
	}
	return out
}

// denies reports whether a statement keeps everybody, the owner too, out.
func (st statement) denies() bool {
	if st.Effect != "Deny" || st.Conditions {
		return false
	}
	for _, p := range st.Principals {
		if p == "*" {
			return true
		}
	}
	return st.NotPrincipal
}

// unreadablePolicy is for documents that cannot be read.
func (j *judge) unreadablePolicy(name string) {
	j.raise(signalbox.Permission, "the policy in "+clip(name)+" cannot be read, so it may say anything",
		signalbox.TraitUnparsed, signalbox.TraitAdmin)
}

// policy judges a policy document in a parameter.
func (j *judge) policy(name, s string) {
	d, err := readDocument(s)
	if err != nil {
		j.unreadablePolicy(name)
		return
	}
	if !d.iam {
		return
	}
	j.document(d, strings.Contains(strings.ToLower(name), "assumerole"))
}

func (j *judge) document(d document, trust bool) {
	home := j.call.Account
	j.raise(signalbox.Permission, "sets a policy")
	for _, st := range d.Statements {
		switch {
		case st.everybody() && st.Conditions:
			j.raise(signalbox.Permission, "lets everybody in who meets a condition")
		case st.everybody():
			j.raise(signalbox.Permission, "lets everybody in", signalbox.TraitPublic)
			if trust {
				j.trait(signalbox.TraitAdmin)
			}
		case st.denies():
			j.interrupt("keeps everybody out, its owner too")
		}
		if len(st.Principals) == 0 && st.admin() {
			j.raise(signalbox.Permission, "gives rights without limit, or the right to take them", signalbox.TraitAdmin)
		}
		for _, a := range st.accounts() {
			if home != "" && a != home {
				j.raise(signalbox.Permission, "lets another account in")
			}
		}
	}
	if len(d.Statements) == 0 {
		j.weaken("sets a policy that says nothing")
	}
}
