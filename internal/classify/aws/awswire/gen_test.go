package awswire

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerate compiles a table from another release of the models, in
// botocore's form, as the documentation says for services that the embedded one
// does not know.
func TestGenerate(t *testing.T) {
	const models = "/usr/lib/python3/dist-packages/awscli/botocore/data"
	if _, err := os.Stat(models); err != nil {
		t.Fatalf("models of another release: %v (run make setup, or install Debian's package awscli)", err)
	}
	file := filepath.Join(t.TempDir(), "table.bin")
	if out, err := exec.CommandContext(t.Context(), "go", "run", "gen.go", "-models", models, "-o",
		file).CombinedOutput(); err != nil {
		t.Fatalf("go run gen.go: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := load(b)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range d.services {
		for _, o := range s.Operations() {
			n++
			o.inputShape()
			o.outputShape()
		}
	}
	if len(d.services) < 300 || n < 12_000 {
		t.Errorf("%d operations of %d services", n, len(d.services))
	}
	// Botocore's models have members of free form, which the embedded table lacks.
	update := d.byName["identitystore"][0].Operation("UpdateGroup")
	r := parseRequest(`POST / ; Body: {"Operations":[{"AttributePath":"p","AttributeValue":{"a":[1,null,{"b":true}]}}]}`, "identitystore")
	params, err := decode(update, &r, JSON)
	if err != nil || params[""] != nil || !update.Member("Operations", "AttributeValue", "anything") {
		t.Errorf("%v, %v", params, err)
	}
	r.Body = []byte(`{"Operations":[{"AttributeValue":{"a":{"b":1,"b":2}}}]}`)
	if params, err := decode(update, &r, JSON); err == nil {
		t.Errorf("duplicates in free form: %v", params)
	}
}
