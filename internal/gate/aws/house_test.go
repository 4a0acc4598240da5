package aws

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/oracle"
)

// A house is a gate with a whole Signalbox behind it.
type house struct {
	*testGate
	*gatetest.House
}

func newHouse(t *testing.T, change func(*Config, *upstream)) *house {
	t.Helper()
	h := &house{House: gatetest.NewHouse(t)}
	h.testGate = newTestGate(t, func(c *Config, u *upstream) {
		c.Interlock = h.House.Interlock()
		if change != nil {
			change(c, u)
		}
	})
	h.told = oracle.Ledger(h.House.Log)
	return h
}

// open opens a session: an agent's for a human, or with agent empty his own.
func (h *house) open(agent, human string) (*client, signalbox.Session) {
	h.t.Helper()
	s, credential := h.Open(agent, human, "prod")
	c := h.client(string(s.ID))
	c.key.SecretAccessKey = credential
	return c, s
}

// heldIn gives the id of the hold that an error names.
func heldIn(t testing.TB, err error) string {
	t.Helper()
	wantError(t, err, 403, "hold wait ")
	_, rest, _ := strings.Cut(err.Error(), "hold wait ")
	return rest[:26]
}

// A held call runs once, when two have approved it, and then it needs them anew.
func TestP4ApprovedCallRunsOnce(t *testing.T) {
	h := newHouse(t, nil)
	agent, _ := h.open("kiro", "alice")
	drop := func() error {
		_, err := agent.call(t.Context(), "DeleteTable", `{"TableName":"orders"}`)
		return err
	}
	hold := heldIn(t, drop())
	h.Approve(hold, "bob")
	if again := heldIn(t, drop()); again != hold {
		t.Errorf("another hold %s", again)
	}
	h.Approve(hold, "carol")
	// The same call is one, whatever the client adds to it; another is not.
	_, err := agent.call(t.Context(), "DeleteTable", `{"TableName":"customers"}`)
	if heldIn(t, err) == hold {
		t.Error("another table has the same hold")
	}
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() { results[i] = drop() })
	}
	wg.Wait()
	done := 0
	for _, err := range results {
		if err == nil {
			done++
		}
	}
	arrived := 0
	for _, a := range h.up.arrivals() {
		if strings.HasSuffix(a.header.Get("X-Amz-Target"), ".DeleteTable") {
			arrived++
		}
	}
	if done != 1 || arrived != 1 {
		t.Errorf("%d of the same call were done, and %d arrived", done, arrived)
	}
	if intents := h.House.Entries(proof.KindIntent); len(intents) != 1 || intents[0].(*proof.Intent).Hold != hold {
		t.Errorf("intents %+v", intents)
	}
	gatetest.Eventually(t, func() bool { return len(h.House.Entries(proof.KindOutcome)) == 1 })
	if next := heldIn(t, drop()); next == hold {
		t.Error("the used hold stands again")
	}
}

// A session that has ended, or is halted, is nobody; and its streams are cut.
func TestP9HaltAndEnd(t *testing.T) {
	h := newHouse(t, nil)
	agent, s := h.open("kiro", "alice")
	if err := agent.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := make(chan bool, 1)
	h.up.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		began <- true
		<-r.Context().Done()
	})
	ended := make(chan error, 1)
	go func() { ended <- agent.list(context.Background()) }()
	<-began
	if err := h.Lock.Halt(t.Context(), h.Person("bob"), control.HaltSession, string(s.ID), "enough"); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if err := <-ended; err == nil {
		t.Error("the stream ended as if it were whole")
	}
	if d := time.Since(at); d > 1500*time.Millisecond {
		t.Errorf("it was cut after %s", d)
	}
	h.up.answer(nil)
	wantError(t, agent.list(t.Context()), 503, "halted by bob")
	other, s2 := h.open("kiro", "alice")
	if err := other.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Lock.EndSession(t.Context(), h.Person("alice"), s2.ID); err != nil {
		t.Fatal(err)
	}
	n := len(h.up.arrivals())
	wantError(t, other.put(t.Context()), 403) // at once for changes
	if len(h.up.arrivals()) != n {
		t.Error("an ended session changed something")
	}
}

// An unknown operation is the worst, and nothing of it is guessed.
// At the time when a write arrives at AWS, what the session read before is in the
// log, however many writes go on at once.
func TestP1ReadsBeforeWrites(t *testing.T) {
	h := newHouse(t, nil)
	c, _ := h.open("kiro", "alice")
	var mu sync.Mutex
	admitted := 0
	h.up.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutItem") {
			recorded := 0
			for _, e := range h.House.Entries(proof.KindReads) {
				recorded += int(e.(*proof.Reads).Statements)
			}
			mu.Lock()
			want := admitted
			mu.Unlock()
			if recorded < want {
				t.Errorf("a write arrived when %d of %d reads were recorded", recorded, want)
			}
		}
		io.WriteString(w, "{}")
	})
	for range 4 {
		for range 3 {
			if err := c.list(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		admitted += 3
		mu.Unlock()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := c.put(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

func TestP8UnknownIsWorst(t *testing.T) {
	h := newHouse(t, nil)
	agent, _ := h.open("kiro", "alice")
	_, err := agent.call(t.Context(), "DescribeEverythingNew", `{}`)
	hold := heldIn(t, err)
	row, err := h.Store.Hold(t.Context(), hold)
	if err != nil {
		t.Fatal(err)
	}
	if row.Actions[0].Verb != signalbox.Execute || !row.Actions[0].Has(signalbox.TraitUnparsed) ||
		!strings.Contains(row.Request, "DescribeEverythingNew") {
		t.Errorf("held as %+v: %s", row.Actions, row.Request)
	}
	// Another body is another request, though nobody knows what it means.
	_, err = agent.call(t.Context(), "DescribeEverythingNew", `{"All":true}`)
	if heldIn(t, err) == hold {
		t.Error("two bodies have the same hold")
	}
	h.Approve(hold, "bob", "carol")
	if _, err := agent.call(t.Context(), "DescribeEverythingNew", `{}`); err != nil {
		t.Errorf("approved: %v", err)
	}
	if a := h.up.last(); a.header.Get("X-Amz-Target") != "DynamoDB_20120810.DescribeEverythingNew" ||
		string(a.body) != "{}" {
		t.Errorf("arrived %+v", a)
	}
	// A member that nobody knows is not left out of what is approved.
	_, err = agent.call(t.Context(), "PutItem", `{"TableName":"orders","Item":{"id":{"S":"1"}},"BrandNew":1}`)
	first := heldIn(t, err)
	_, err = agent.call(t.Context(), "PutItem", `{"TableName":"orders","Item":{"id":{"S":"1"}},"BrandNew":2}`)
	if heldIn(t, err) == first {
		t.Error("two values of an unknown member have the same hold")
	}
}

// An agent gets no credentials that work without the gate.
func TestCredentialsStayBehindTheGate(t *testing.T) {
	h := newHouse(t, nil)
	agent, _ := h.open("kiro", "alice")
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	pipeline := []string{"Content-Type", "application/x-amz-json-1.1", "X-Amz-Target",
		"CodePipeline_20150709.GetJobDetails"}
	for _, c := range []struct {
		service, method, target, body string
		header                        []string
	}{
		{"sts", "POST", "/", "Action=GetSessionToken&Version=2011-06-15", form},
		{"sts", "POST", "/", "Action=GetFederationToken&Version=2011-06-15&Name=x", form},
		{"iam", "POST", "/", "Action=CreateAccessKey&Version=2010-05-08", form},
		{"s3", "GET", "/bucket?session", "", nil},
		{"codepipeline", "POST", "/", `{"jobId":"j"}`, pipeline},
		{"grafana", "POST", "/workspaces/w/apikeys", `{"keyName":"k","keyRole":"ADMIN","secondsToLive":60}`, nil},
		{"quicksight", "GET", "/accounts/123456789012/session-embed-url", "", nil},
	} {
		_, err := agent.as(c.service).do(t.Context(), c.method, c.target, []byte(c.body), c.header...)
		wantError(t, err, 403, "credentials-past-the-gate")
	}
	if n := len(h.up.arrivals()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	if n := len(h.House.Entries(proof.KindRefusal)); n != 7 {
		t.Errorf("%d refusals are recorded", n)
	}
}

// sts answers AssumeRole with credentials that only the account knows.
func (h *house) sts(role string) (calls func() int) {
	var mu sync.Mutex
	n := 0
	h.up.secrets["ASIAROLE"] = "role-secret"
	h.up.answer(func(w http.ResponseWriter, r *http.Request, body []byte) {
		if !strings.Contains(string(body), "AssumeRole") {
			io.WriteString(w, "{}")
			return
		}
		mu.Lock()
		n++
		mu.Unlock()
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
			<AssumedRoleUser><AssumedRoleId>AROA:me</AssumedRoleId><Arn>arn:aws:sts::%s:assumed-role/%s/me</Arn></AssumedRoleUser>
			<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken><Expiration>%s</Expiration></Credentials>
			</AssumeRoleResult></AssumeRoleResponse>`, account, role, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func between(text, open, end string) string {
	_, rest, _ := strings.Cut(text, "<"+open+">")
	inner, _, _ := strings.Cut(rest, "</"+end+">")
	return inner
}

// A role is assumed by the gate. The client's credentials for it are virtual:
// they work here, for its session, and nowhere else.
func TestAssumeRole(t *testing.T) {
	h := newHouse(t, nil)
	calls := h.sts("deploy")
	human, s := h.open("", "alice")
	assume := func(c *client, more string) (string, error) {
		return c.as("sts").do(t.Context(), "POST", "/",
			[]byte("Action=AssumeRole&Version=2011-06-15&RoleArn="+"arn%3Aaws%3Aiam%3A%3A"+account+
				"%3Arole%2Fdeploy&RoleSessionName=me"+more), "Content-Type", "application/x-www-form-urlencoded")
	}
	text, err := assume(human, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"ASIAROLE", "role-secret", "role-token"} {
		if strings.Contains(text, secret) {
			t.Errorf("the client got %q:\n%s", secret, text)
		}
	}
	role := *human
	role.key.AccessKeyID, role.key.SecretAccessKey, role.key.SessionToken = between(text, "AccessKeyId",
		"AccessKeyId"), between(text, "SecretAccessKey", "SecretAccessKey"),
		between(text, "SessionToken", "SessionToken")
	if role.key.AccessKeyID != "SBXR"+strings.ToUpper(string(s.ID)) {
		t.Errorf("key %q", role.key.AccessKeyID)
	}
	if err := role.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := h.up.last(); a.key != "ASIAROLE" || a.token != "role-token" {
		t.Errorf("arrived by %s with token %q", a.key, a.token)
	}
	if text, err := role.as("sts").do(t.Context(), "POST", "/", []byte("Action=GetCallerIdentity&Version=2011-06-15"),
		"Content-Type", "application/x-www-form-urlencoded"); err != nil ||
		between(text, "Arn", "Arn") != "arn:aws:sts::"+account+":assumed-role/deploy/"+string(s.ID)+"@alice" {
		t.Errorf("as the role: %s, %v", text, err)
	}

	// Nobody else can use them, nor with another secret, nor altered.
	for name, change := range map[string]func(*client){
		"another session's key": func(c *client) {
			other, o := h.open("", "alice")
			c.key.AccessKeyID, c.key.SecretAccessKey = "SBXR"+strings.ToUpper(string(o.ID)), other.key.SecretAccessKey
		},
		"no token":               func(c *client) { c.key.SessionToken = "" },
		"the session's secret":   func(c *client) { c.key.SecretAccessKey = human.key.SecretAccessKey },
		"an altered token":       func(c *client) { c.key.SessionToken = "A" + c.key.SessionToken[1:] },
		"the session's own key":  func(c *client) { c.key.AccessKeyID = human.key.AccessKeyID },
		"a token that is no one": func(c *client) { c.key.SessionToken = "AAAA" },
	} {
		thief := role
		change(&thief)
		n := len(h.up.arrivals())
		if err := thief.list(t.Context()); status(err) != 403 || len(h.up.arrivals()) != n {
			t.Errorf("%s: %v", name, err)
		}
	}

	// After a restart the gate assumes the role again, if it knows all of it.
	if calls() != 1 {
		t.Errorf("%d calls of AssumeRole", calls())
	}
	h.gate.roles.forget(time.Now().Add(24 * time.Hour))
	if err := role.list(t.Context()); err != nil || calls() != 2 {
		t.Errorf("after a restart: %v, %d calls", err, calls())
	}
	text, err = assume(human, "&Policy=%7B%7D")
	if err != nil {
		t.Fatal(err)
	}
	limited := *human
	limited.key.AccessKeyID, limited.key.SecretAccessKey, limited.key.SessionToken = between(text, "AccessKeyId",
		"AccessKeyId"), between(text, "SecretAccessKey", "SecretAccessKey"),
		between(text, "SessionToken", "SessionToken")
	if err := limited.list(t.Context()); err != nil {
		t.Error(err)
	}
	h.gate.roles.forget(time.Now().Add(24 * time.Hour))
	if err := limited.list(t.Context()); err == nil || !strings.Contains(err.Error(), "ExpiredToken") {
		t.Errorf("a policy that nobody knows any more: %v", err)
	}

	// Roles of strangers' accounts are not.
	_, err = human.as("sts").do(t.Context(), "POST", "/",
		[]byte("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A999999999999%3Arole%2Fx&RoleSessionName=me"), "Content-Type", "application/x-www-form-urlencoded")
	wantError(t, err, 403, "upstream.accounts")
	if intents := h.House.Entries(proof.KindIntent); len(intents) != 2 ||
		intents[0].(*proof.Intent).Actions[0].Native != "sts:AssumeRole" {
		t.Errorf("what is recorded of assuming roles: %+v", intents)
	}
	for _, secret := range []string{"role-secret", "role-token", human.key.SecretAccessKey, role.key.SecretAccessKey,
		realSecret} {
		if strings.Contains(h.testGate.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// The account says who the client is here, and not who the gate is there.
func TestGetCallerIdentity(t *testing.T) {
	h := newHouse(t, nil)
	agent, s := h.open("kiro", "alice")
	text, err := agent.as("sts").do(t.Context(), "POST", "/", []byte("Action=GetCallerIdentity&Version=2011-06-15"),
		"Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		t.Fatal(err)
	}
	if between(text, "Arn", "Arn") != "arn:aws:sts::"+account+":assumed-role/signalbox/kiro" ||
		between(text, "UserId", "UserId") != string(s.ID) || between(text, "Account", "Account") != account {
		t.Errorf("got %s", text)
	}
	if len(h.up.arrivals()) != 0 {
		t.Error("AWS was asked")
	}
	gatetest.Eventually(t, func() bool { return len(h.House.Entries(proof.KindReads)) == 1 })
}

// What agents change without approval has a ceiling that is counted before.
func TestCeiling(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *upstream) { c.Gate.Ceiling = control.Ceiling{Request: 1, Total: 3} })
	agent, _ := h.open("kiro", "alice")
	put := func(id int) error {
		_, err := agent.call(t.Context(), "PutItem",
			fmt.Sprintf(`{"TableName":"orders","Item":{"id":{"S":"%d"}},"ConditionExpression":"attribute_not_exists(id)"}`, id))
		return err
	}
	done := 0
	for i := range 6 {
		if err := put(i); err == nil {
			done++
		} else {
			heldIn(t, err)
		}
	}
	if done > 3 || len(h.up.arrivals()) != done {
		t.Errorf("%d were done and %d arrived, the ceiling is 3", done, len(h.up.arrivals()))
	}
}
