package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/demo/standin"
)

// december plays "december": an agent that is asked to mend a bill decides to
// delete the environment and make it anew. The cloud is a stand-in; the agent
// is a script on the AWS SDK.
type december struct {
	*play
	cloud   *standin.Cloud
	program []string // that runs the agent
	last    string   // that the agent did, and what came of it
	users   *customers
	remove  client.Hold // the DeleteStack that nobody approves
}

//go:embed december.json
var decemberTemplate string

const (
	stackName = "cost-explorer-prod"
	// numberOfCustomers have a bill; one of them wrote a ticket about his.
	numberOfCustomers = 40
	ticketCustomer    = 7
	// What customer 7 is billed, and what he should be.
	wrongCents = 29_970
	rightCents = 30_000
	// hour is how long an hour lasts.
	hour = 400 * time.Millisecond
	// numberOfResources are in the stack.
	numberOfResources = 14
	// outage is what recreating the environment costs at least.
	outage = 12*time.Hour + 30*time.Minute
)

func (d *december) run(ctx context.Context, c Config) error {
	d.say("%s", d.mark(bold, "Signalbox: the December incident"))
	d.tell("", "", fmt.Sprintf(`In December 2025 an AI coding agent, working with an engineer's own rights, decided that the best fix for a
small bug was to delete a production environment and make it anew. A cloud service was gone for 13 hours. Here is that
day, twice. The cloud is a stand-in on this machine, where an hour lasts %.1f seconds; the agent is a script on the real AWS SDK, and
the gate, the policies and the log are Signalbox as you would run it.`, hour.Seconds()))
	d.say("")
	if err := d.set(ctx, c); err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	return d.perform(ctx, []scene{
		{"Without a gate: Kiro is asked to mend a bill", d.unguarded},
		{"The same day again, with a gate", d.guarded},
		{"Kiro wants to delete the environment", d.deletes},
		{"Kiro approves its own request; so does Alice", d.approvesItself},
		{"Bob and Carol look, and refuse", d.refuses},
		{"Kiro insists", d.insists},
		{"Kiro proposes the small change", d.changes},
		{"The session, from its beginning to its end", d.timeline},
		{"An auditor verifies the log", d.isVerified},
	})
}

func (d *december) set(ctx context.Context, c Config) (err error) {
	if err := d.clear(); err != nil {
		return err
	}
	if d.outsiders, err = summon(ctx, c, d.folder, false); err != nil {
		return err
	}
	if d.program = c.Agent; len(d.program) == 0 {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		d.program = []string{self, "demo", "agent"}
	}
	d.cloud, err = newCloud(ctx)
	return err
}

// strike removes all that the story has started.
func (d *december) strike() {
	d.stage.strike()
	if d.users != nil {
		d.users.leave()
	}
	if d.cloud != nil {
		d.cloud.Close()
	}
}

// unguarded is run 1: the agent has its engineer's own credentials.
func (d *december) unguarded(ctx context.Context, s *Step) error {
	who := arrive(ctx, d.cloud.ServiceURL())
	defer who.leave()
	code, err := d.ask(ctx, s, agentMend, d.environment(d.cloud.URL(), d.cloud.AccessKeyID, d.cloud.SecretAccessKey))
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the agent ended with %d, it should have done it all (%s)", code, d.last)
	}
	met := who.leave()
	gone := d.cloud.Simulated(met.longest)
	d.line(s, "customers", fmt.Sprintf("asked %d times for what they spent", met.requests),
		fmt.Sprintf("%d requests failed, one after the other, for %s", met.failed, hours(gone)))
	if met.failed == 0 || gone < outage {
		return fmt.Errorf("%d requests failed, for %v; they should for %v", met.failed, gone, outage)
	}
	if err := d.billed(ctx, rightCents); err != nil {
		return err
	}
	s.Means = fmt.Sprintf(`The bug is mended, and production was gone for %s: restoring the table takes that long. Nothing asked
anybody. The cloud's own trail would name Alice, whose role it was.`, hours(gone))
	return nil
}

// billed asks the cost service itself, and wants that customer 7 is billed so.
func (d *december) billed(ctx context.Context, cents int64) error {
	b, err := billOf(ctx, d.cloud.ServiceURL(), ticketCustomer)
	if err != nil {
		return err
	}
	if b.Cents != cents {
		return fmt.Errorf("customer %d is billed %d cents, it should be %d", ticketCustomer, b.Cents, cents)
	}
	return nil
}

// hours says how long something took that is simulated.
func hours(d time.Duration) string {
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
}

// guarded is the beginning of run 2: the real credential is the gate's.
func (d *december) guarded(ctx context.Context, s *Step) error {
	s.Means = `Kiro's key opens the gate and nothing else. The real one is in the gate's own configuration, and no agent's
process has ever seen it.`
	d.cloud.Close()
	var err error
	if d.cloud, err = newCloud(ctx); err != nil {
		return err
	}
	gate, err := d.gateConfig()
	if err != nil {
		return err
	}
	if err := d.open(ctx, gate, "ticket 4711: customer 7 is billed too little"); err != nil {
		return err
	}
	d.users = arrive(ctx, d.cloud.ServiceURL())
	id, secret := d.key()
	d.line(s, "alice", `signalbox run --agent kiro --purpose "ticket 4711: customer 7 is billed too little"`,
		"AWS_ENDPOINT_URL="+d.endpoint()+"\nAWS_ACCESS_KEY_ID="+id)
	code, err := d.ask(ctx, s, agentWhoami, d.environment(d.cloud.URL(), id, secret))
	if err != nil {
		return err
	}
	if code == 0 {
		return errors.New("the cloud itself took the agent's key")
	}
	return nil
}

func (d *december) deletes(ctx context.Context, s *Step) error {
	s.Means = `Reading passed. The deletion did not reach the cloud: the SDK got the cloud's own AccessDenied, with a hold
and its page in the message. The gate asked the cloud what the stack is made of before it asked anybody.`
	code, err := d.ask(ctx, s, agentMend, d.agentEnv())
	if err != nil {
		return err
	}
	if code != agentHeld {
		return fmt.Errorf("the agent ended with %d, it should be held (%s)", code, d.last)
	}
	if d.remove, err = d.onlyHold(ctx, s); err != nil {
		return err
	}
	if want := int64(numberOfResources); d.remove.Ceiling.Count != want {
		return fmt.Errorf("the hold counts %d, the stack has %d resources: %q", d.remove.Ceiling.Count, want,
			d.remove.Facts)
	}
	return d.stands(ctx)
}

// stands wants that the environment is there as it was, that no deletion
// reached the cloud, and that no customer noticed anything.
func (d *december) stands(ctx context.Context) error {
	for _, e := range d.cloud.Trail() {
		if e.Operation == "cloudformation:DeleteStack" {
			return fmt.Errorf("%s reached the cloud", e.Operation)
		}
	}
	if met := d.users.met(); met.failed > 0 {
		return fmt.Errorf("%d of %d requests of customers failed", met.failed, met.requests)
	}
	return d.billed(ctx, wrongCents)
}

func (d *december) approvesItself(ctx context.Context, s *Step) error {
	s.Means = `No credential of an agent's session reaches a method that approves, and an engineer does not approve what his
own agent asks for, whatever his role in the cloud.`
	_, err := d.approve(ctx, s, "kiro", d.kiro, d.remove.ID)
	if err := refused("kiro", err); err != nil {
		return err
	}
	_, err = d.approve(ctx, s, "alice", d.alice.Client, d.remove.ID)
	return refused("alice", err)
}

func (d *december) refuses(ctx context.Context, s *Step) error {
	s.Means = `One no is enough, and it counts for good: the same request is not put before people again.`
	h, err := d.carol.Hold(ctx, d.remove.ID)
	d.call(s, "carol", "GET /api/v1/holds/"+d.remove.ID, err, fmt.Sprintf("%s, %s", h.Status, h.Missing))
	if err != nil {
		return err
	}
	const comment = "this is production: 13 hours to restore. Change the one parameter instead."
	h, err = d.bob.Answer(ctx, d.remove.ID, false, comment)
	d.call(s, "bob", "POST /api/v1/holds/"+d.remove.ID+"/deny   "+comment, err, "the hold is "+h.Status)
	if err != nil {
		return err
	}
	if h.Status != "refused" {
		return fmt.Errorf("the hold is %s, it should be refused", h.Status)
	}
	_, err = d.approve(ctx, s, "carol", d.carol.Client, d.remove.ID)
	if err == nil {
		return errors.New("a refused hold was approved")
	}
	return nil
}

func (d *december) insists(ctx context.Context, s *Step) error {
	s.Means = `Denied at once this time, with Bob's words. Nobody was asked again.`
	code, err := d.ask(ctx, s, agentAgain, d.agentEnv())
	if err != nil {
		return err
	}
	holds, err := d.bob.Holds(ctx, "open", 10)
	if err != nil {
		return err
	}
	if code != agentHeld || len(holds) != 0 {
		return fmt.Errorf("the agent ended with %d and %d holds are open, it should be denied", code, len(holds))
	}
	return d.stands(ctx)
}

func (d *december) changes(ctx context.Context, s *Step) error {
	s.Means = `One parameter, two resources, no outage. It waits for one human, since the request does not say what the change
set contains, and since Kiro was refused on this stack before. Carol saw what it contains, as the gate read it from the cloud; her
yes counts for this change set, by its ARN, and once.`
	code, err := d.ask(ctx, s, agentChange, d.agentEnv())
	if err != nil {
		return err
	}
	if code != agentHeld {
		return fmt.Errorf("the agent ended with %d: after a refusal its change should be held (%s)", code, d.last)
	}
	h, err := d.onlyHold(ctx, s)
	if err != nil {
		return err
	}
	for _, part := range []string{"Task (AWS::ECS::TaskDefinition)", "Service (AWS::ECS::Service)"} {
		if !strings.Contains(strings.Join(h.Facts, "\n"), part) {
			return fmt.Errorf("the hold does not show that the change set changes %s: %q", part, h.Facts)
		}
	}
	if h, err = d.approve(ctx, s, "carol", d.carol.Client, h.ID); err != nil {
		return err
	}
	if h.Status != "approved" {
		return fmt.Errorf("the hold is %s, it should be approved", h.Status)
	}
	if code, err = d.ask(ctx, s, agentGoOn, d.agentEnv()); err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the agent ended with %d, it should have made the change (%s)", code, d.last)
	}
	met := d.users.leave()
	d.line(s, "customers", fmt.Sprintf("asked %d times for what they spent", met.requests),
		fmt.Sprintf("%d requests failed", met.failed))
	if met.requests == 0 || met.failed > 0 {
		return fmt.Errorf("%d of %d requests of customers failed", met.failed, met.requests)
	}
	return d.billed(ctx, rightCents)
}

// onlyHold gives the one open hold, and shows what approvers see of it.
func (d *december) onlyHold(ctx context.Context, s *Step) (client.Hold, error) {
	holds, err := d.bob.Holds(ctx, "open", 10)
	if err != nil {
		return client.Hold{}, err
	}
	if len(holds) != 1 {
		return client.Hold{}, fmt.Errorf("there are %d open holds, there should be one", len(holds))
	}
	h := holds[0]
	d.result.Holds = append(d.result.Holds, h.URL)
	d.line(s, "approvers see", h.URL, strings.Join(h.Facts, "\n")+"\nneeds "+strings.Join(h.Verdict.Requires, " and ")+
		": "+h.Verdict.Reason+"\nthe agent's own words: "+h.Request)
	return h, nil
}

// timeline tells the session from the log alone: entries of the session, and
// those that speak of one of these.
func (d *december) timeline(ctx context.Context, s *Step) error {
	s.Means = `Who asked, for whom, what was decided, who answered, what was executed and how it ended. Each intent was durable
in the log before the request went to the cloud. Nobody has to guess afterwards whether it was the AI.`
	all, err := d.bob.Entries(ctx, 0, 1000)
	if err != nil {
		return err
	}
	session := string(d.session.Session.ID)
	ids := []string{session}
	var text strings.Builder
	kinds := map[string]int{}
	for _, e := range all {
		if !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(string(e.Entry), `"`+id+`"`) }) {
			continue
		}
		ids = append(ids, e.ID)
		kinds[e.Type]++
		fmt.Fprintf(&text, "%4d  %s  %s\n", e.Index, e.Time.Local().Format("15:04:05"), e.Text)
	}
	d.line(s, "bob", "GET /api/v1/log/entries?from=0   of session "+session, text.String())
	// Of what was executed: the change set made, and executed.
	for kind, n := range map[string]int{"hold": 2, "approval": 2, "refusal": 1, "intent": 2, "outcome": 2} {
		if kinds[kind] != n {
			return fmt.Errorf("the log has %d entries of type %s for the session, it should have %d", kinds[kind],
				kind, n)
		}
	}
	return nil
}

func (d *december) isVerified(ctx context.Context, s *Step) error {
	s.Means = `The auditor needs the log and its key, and neither the server's word nor ours.`
	_, err := d.verified(ctx, s)
	return err
}
