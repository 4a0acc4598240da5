package session

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func minter(t *testing.T, fill byte) *Minter {
	t.Helper()
	m, err := NewMinter(bytes.Repeat([]byte{fill}, MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every part of a claim must be bound: a credential for one thing must never
// pass for another.
func TestCredentialIsBoundToItsWholeClaim(t *testing.T) {
	m := minter(t, 1)
	claim := Claim{Kind: KindSession, Subject: "01abc", Gate: "orders", Epoch: 3}
	credential := m.Mint(claim)
	if err := m.Check(claim, credential); err != nil {
		t.Fatal(err)
	}
	others := map[string]Claim{
		"kind":    {Kind: KindPerson, Subject: "01abc", Gate: "orders", Epoch: 3},
		"subject": {Kind: KindSession, Subject: "01abd", Gate: "orders", Epoch: 3},
		"gate":    {Kind: KindSession, Subject: "01abc", Gate: "order", Epoch: 3},
		"shifted": {Kind: KindSession, Subject: "01abco", Gate: "rders", Epoch: 3},
		"epoch":   {Kind: KindSession, Subject: "01abc", Gate: "orders", Epoch: 4},
	}
	for name, other := range others {
		if err := m.Check(other, credential); !errors.Is(err, ErrCredential) {
			t.Errorf("%s: a credential for %+v passed for %+v", name, claim, other)
		}
		// Neither may the other's hash pass under this one's name.
		forged := credential[:strings.LastIndexByte(credential, '_')] +
			m.Mint(other)[strings.LastIndexByte(m.Mint(other), '_'):]
		if err := m.Check(claim, forged); err == nil {
			t.Errorf("%s: forged credential %q passed", name, forged)
		}
	}
	if err := minter(t, 2).Check(claim, credential); err == nil {
		t.Error("a credential of another master key passed")
	}
	for _, bad := range []string{"", "sbs", credential + "a", credential[:len(credential)-1],
		strings.ToUpper(credential)} {
		if err := m.Check(claim, bad); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestParseGivesTheSubjectUnproved(t *testing.T) {
	m := minter(t, 1)
	for _, subject := range []string{"alice", "a_b", "01jd"} {
		kind, got, err := Parse(m.Mint(Claim{Kind: KindPerson, Subject: subject, Gate: "api"}))
		if err != nil || kind != KindPerson || got != subject {
			t.Errorf("Parse: %q %q %v, want %q", kind, got, err, subject)
		}
	}
	for _, bad := range []string{"", "_", "sbs_", "sbs_x", "sbs__x", "nope_a_b"} {
		if _, _, err := Parse(bad); !errors.Is(err, ErrCredential) {
			t.Errorf("Parse(%q) = %v, want ErrCredential", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("sbs_01abc_abcdef")
	f.Add("sbu_a_b_c")
	f.Fuzz(func(t *testing.T, s string) {
		kind, subject, err := Parse(s)
		if err == nil && !strings.HasPrefix(s, fmt.Sprintf("%s_%s_", kind, subject)) {
			t.Errorf("Parse(%q) = %q, %q", s, kind, subject)
		}
	})
}

func TestMasterKeyNeverReachesALog(t *testing.T) {
	m := minter(t, 'K')
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("starting", "minter", m)
	if strings.Contains(log.String(), "KKKK") || strings.Contains(log.String(), "75 75") {
		t.Errorf("log holds the key: %s", log.String())
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	m := minter(t, 1)
	if a, b := m.Derive("a"), m.Derive("b"); len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, m.Derive("a")) {
		t.Error("derived keys must be 32 bytes, stable and different for each purpose")
	}
}
