package policy_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func defaults(t testing.TB) *policy.Set {
	t.Helper()
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestDefaultLoads(t *testing.T) { defaults(t) }
