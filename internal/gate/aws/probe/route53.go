package probe

import (
	"fmt"
	"strings"
)

var route53 = map[string]prober{
	"route53:ChangeResourceRecordSets": recordChanges,
	"route53:DeleteHostedZone":         zoneGoes,
	"route53:DisableHostedZoneDNSSEC":  zone,
	"route53:DeleteHealthCheck":        healthCheck,
}

func recordChanges(l *look) error {
	if err := zone(l); err != nil {
		return err
	}
	batch, _ := l.call.Parameters["ChangeBatch"].(map[string]any)
	changes, _ := batch["Changes"].([]any)
	if len(changes) == 0 {
		return fmt.Errorf("no change is named")
	}
	const most = 25
	for i, c := range changes {
		if i == most {
			l.fact("Of %d more records the present value was not looked up.", len(changes)-most)
			break
		}
		change, _ := c.(map[string]any)
		set, _ := change["ResourceRecordSet"].(map[string]any)
		name, _ := set["Name"].(string)
		kind, _ := set["Type"].(string)
		a, err := l.ask("route53", "ListResourceRecordSets", map[string]any{
			"HostedZoneId": l.text("HostedZoneId"), "StartRecordName": name, "StartRecordType": kind, "MaxItems": "1"})
		if err != nil {
			return err
		}
		now := "not there"
		for _, r := range a.List("ResourceRecordSets") {
			if strings.EqualFold(strings.TrimSuffix(r.Text("Name"), "."), strings.TrimSuffix(name, ".")) &&
				r.Text("Type") == kind {
				now = recordValue(r)
			}
		}
		l.fact("%v %s %s, which is now: %s.", change["Action"], kind, name, now)
		l.bind(kind+" "+name, now)
	}
	l.impact.Count = int64(len(changes))
	return nil
}

func recordValue(r answer) string {
	if t := r.Text("AliasTarget", "DNSName"); t != "" {
		return "alias of " + t
	}
	var values []string
	for _, v := range r.List("ResourceRecords") {
		values = append(values, v.Text("Value"))
	}
	return fmt.Sprintf("%s for %d s", some(values), r.Int("TTL"))
}

func zoneGoes(l *look) error {
	if err := zone(l); err != nil {
		return err
	}
	l.impact.Reversible = false
	return nil
}

func zone(l *look) error {
	id := firstOf(l.text("HostedZoneId"), l.text("Id"))
	a, err := l.ask("route53", "GetHostedZone", map[string]any{"Id": id})
	if absent(err) {
		return l.gone("hosted zone", id)
	}
	if err != nil {
		return err
	}
	n := a.Int("HostedZone", "ResourceRecordSetCount")
	l.fact("Zone %s, private: %t, with %d record sets.", a.Text("HostedZone", "Name"),
		a.Bool("HostedZone", "Config", "PrivateZone"), n)
	l.bind("hosted zone", a.Text("HostedZone", "Id")+" "+a.Text("HostedZone", "CallerReference"))
	l.impact.Count, l.impact.Total = n, n
	return nil
}

func healthCheck(l *look) error {
	id := l.text("HealthCheckId")
	a, err := l.ask("route53", "GetHealthCheck", map[string]any{"HealthCheckId": id})
	if absent(err) {
		return l.gone("health check", id)
	}
	if err != nil {
		return err
	}
	l.fact("It checks %s by %s.", firstOf(a.Text("HealthCheck", "HealthCheckConfig", "FullyQualifiedDomainName"),
		a.Text("HealthCheck", "HealthCheckConfig", "IPAddress"), "something else than an address"),
		a.Text("HealthCheck", "HealthCheckConfig", "Type"))
	l.bind("health check", id)
	l.impact.Count = 1
	return nil
}
