package proof

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func sealed(t *testing.T, k Kind) Leaf {
	t.Helper()
	body, hidden := example(t, k)
	leaf, err := Seal(Header{ID: exampleID, Time: exampleTime}, body, hidden)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestEveryHiddenFieldDiscloses(t *testing.T) {
	for _, k := range Kinds() {
		_, hidden := example(t, k)
		leaf := sealed(t, k)
		if len(hidden) != len(HiddenNames(k)) {
			t.Errorf("%s: the example hides %d fields of %q", k, len(hidden), HiddenNames(k))
		}
		for name, value := range hidden {
			ds, err := Disclose(leaf.Key, leaf.Payload, name)
			if err != nil {
				t.Fatal(err)
			}
			got, raw, err := CheckDisclosure(leaf.Bytes, ds[0])
			if err != nil {
				t.Fatal(err)
			}
			want, err := marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if got != name || !bytes.Equal(raw, want) {
				t.Errorf("%s: disclosed %q = %s, want %q = %s", k, got, raw, name, want)
			}
			if name != "all_actions" && bytes.Contains(leaf.Bytes, want) && len(want) > 16 {
				t.Errorf("%s: the leaf shows hidden field %q in the clear", k, name)
			}
		}
	}
}

func TestDiscloseAllAndNone(t *testing.T) {
	leaf := sealed(t, KindOutcome)
	ds, err := Disclose(leaf.Key, leaf.Payload)
	if err != nil || len(ds) != 2 {
		t.Errorf("all fields: %q, %v", ds, err)
	}
	if _, err := Disclose(leaf.Key, leaf.Payload, "nothing"); err == nil || !strings.Contains(err.Error(), `"detail"`) {
		t.Errorf("unknown field: %v", err)
	}
	// Erased: neither key nor payload is left.
	if _, err := Disclose(nil, nil, "detail"); err == nil || !strings.Contains(err.Error(), "erased") {
		t.Errorf("erased entry: %v", err)
	}
	if _, err := Disclose(leaf.Key, nil, "detail"); err == nil {
		t.Error("disclosed a field without its payload")
	}
}

func TestCheckDisclosureRefusesWhatWasNotSealed(t *testing.T) {
	leaf, other := sealed(t, KindOutcome), sealed(t, KindOutcome)
	ds, err := Disclose(leaf.Key, leaf.Payload, "detail")
	if err != nil {
		t.Fatal(err)
	}
	text, err := b64.DecodeString(string(ds[0]))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("exist"), []byte("exits"), 1)
	for name, d := range map[string]Disclosure{
		"changed":         Disclosure(b64.EncodeToString(changed)),
		"another spacing": Disclosure(b64.EncodeToString(bytes.Replace(text, []byte(","), []byte(", "), 1))),
		"padded":          ds[0] + "=",
		"cut":             ds[0][:len(ds[0])-1],
		"empty":           "",
	} {
		if _, _, err := CheckDisclosure(leaf.Bytes, d); err == nil {
			t.Errorf("%s disclosure was accepted", name)
		}
	}
	if _, _, err := CheckDisclosure(other.Bytes, ds[0]); err == nil {
		t.Error("the disclosure of another entry of the same content was accepted")
	}
}

// What cannot be guessed by outsiders: the same fields give other digests in
// each entry, and their number does not show.
func TestDigestsTellNothing(t *testing.T) {
	digests := func(hidden Hidden) []string {
		leaf, err := Seal(Header{ID: exampleID, Time: exampleTime}, Refusal{}, hidden)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Decode(leaf.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return e.Digests
	}
	none, one, three := digests(nil), digests(Hidden{"request": 1}), digests(Hidden{"request": 1, "salt": 1,
		"reason": 1})
	if len(none) != 4 || len(one) != 4 || len(three) != 4 {
		t.Errorf("%d, %d and %d digests, want 4 each", len(none), len(one), len(three))
	}
	all := slices.Concat(none, one, three, digests(Hidden{"request": 1}))
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 16 {
		t.Errorf("%d different digests, want 16", n)
	}
	if n := len(digests(Hidden{"request": 1, "salt": 1, "reason": 1, "all_actions": 1, "parameters": 1})); n != 8 {
		t.Errorf("%d digests for 5 fields, want 8", n)
	}
}

// Promise P10: a disclosed field is verified by tools that know nothing of us.
func TestDisclosureByOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is needed to check disclosures independently:", err)
	}
	leaf := sealed(t, KindIntent)
	ds, err := Disclose(leaf.Key, leaf.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		SD []string `json:"_sd"`
	}
	if err := json.Unmarshal(leaf.Bytes, &object); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		hash := exec.Command(openssl, "dgst", "-sha256", "-binary")
		hash.Stdin = strings.NewReader(string(d))
		sum, err := hash.Output()
		if err != nil {
			t.Fatal(err)
		}
		encode := exec.Command(openssl, "base64", "-A")
		encode.Stdin = bytes.NewReader(sum)
		text, err := encode.Output()
		if err != nil {
			t.Fatal(err)
		}
		digest := strings.NewReplacer("+", "-", "/", "_", "=", "", "\n", "").Replace(string(text))
		if !slices.Contains(object.SD, digest) {
			t.Errorf("openssl's digest %s is not in %q", digest, object.SD)
		}
	}
}

func FuzzCheckDisclosure(f *testing.F) {
	leaf, err := seal(Header{ID: exampleID, Time: exampleTime}, Outcome{Intent: exampleID, Result: "done"},
		Hidden{"detail": "x"}, exampleKey)
	if err != nil {
		f.Fatal(err)
	}
	ds, err := Disclose(leaf.Key, leaf.Payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(ds[0]))
	f.Add("")
	f.Add("WyJzYWx0IiwiZGV0YWlsIiwieCJd")
	f.Add("W251bGwsbnVsbCxudWxsXQ")
	f.Fuzz(func(t *testing.T, d string) {
		_, _, err := CheckDisclosure(leaf.Bytes, Disclosure(d))
		if err == nil && d != string(ds[0]) {
			t.Errorf("accepted %q", d)
		}
		// Whatever opens has a name and a value that is JSON.
		name, value, err := openDisclosure(Disclosure(d))
		if err == nil && !json.Valid(value) {
			t.Errorf("disclosure %q opens as %q = %q", d, name, value)
		}
	})
}
