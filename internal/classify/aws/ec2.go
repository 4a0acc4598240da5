package aws

import (
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func ec2Rules(rules map[string]rule) {
	rules["ec2:AuthorizeSecurityGroupIngress"] = firewallOpened
	rules["ec2:AuthorizeSecurityGroupEgress"] = firewallOpened
	rules["ec2:ModifySecurityGroupRules"] = firewallOpened
	for _, name := range []string{"RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress"} {
		rules["ec2:"+name] = func(j *judge) {
			j.interrupt("cuts off who came in by this rule")
			j.securityGroup()
		}
	}
	rules["ec2:CreateNetworkAclEntry"] = networkACL
	rules["ec2:CreateRoute"] = func(j *judge) { j.interrupt("sends traffic another way") }
	rules["ec2:ModifyInstanceAttribute"] = instanceAttribute
	rules["ec2:CreateImage"] = func(j *judge) {
		if !j.p.is("NoReboot") {
			j.interrupt("restarts the machine, since it does not say NoReboot")
		}
	}
	rules["ec2:RunInstances"] = func(j *judge) {
		n, _ := j.p.number("MaxCount")
		j.resources = []signalbox.Resource{{Type: "instance", Name: unnamed, Whole: true}}
		j.impact = signalbox.Impact{Count: max(int64(n), 1), Scope: signalbox.ScopeOne, Reversible: true}
		if n > 1 {
			j.impact.Scope = signalbox.ScopeSome
		}
		if n > bulk {
			j.trait(signalbox.TraitBulk)
		}
	}
	rules["autoscaling:CreateOrUpdateTags"] = groupTags
	rules["autoscaling:DeleteTags"] = groupTags
	rules["ec2:CreateTags"] = ec2Tags
	rules["ec2:DeleteTags"] = ec2Tags
	rules["ec2:ModifyImageAttribute"] = shared
	rules["ec2:ModifySnapshotAttribute"] = shared
	rules["ec2:ModifyVpcEndpoint"] = func(j *judge) {
		for _, m := range []string{"RemoveSubnetIds", "RemoveRouteTableIds", "RemoveSecurityGroupIds"} {
			if len(j.p.list(m)) > 0 {
				j.interrupt("takes the endpoint away from a part of the network")
			}
		}
	}
	rules["ec2:ModifyVolume"] = func(j *judge) { j.impact.Reversible = true }
	rules["ec2:ModifyLaunchTemplate"] = func(j *judge) {
		if j.p.has("DefaultVersion") {
			j.trait(signalbox.TraitRename)
			j.say("changes what is launched by the template's name")
		}
	}
	rules["ec2:StartInstances"] = func(j *judge) { j.drop(signalbox.TraitInterrupts) }
	rules["ec2:CreateVpcPeeringConnection"] = func(j *judge) {
		if j.p.has("PeerOwnerId") {
			j.raise(signalbox.Permission, "joins the network of another account")
		}
	}
}

// securityGroup names the group by its id, or by its name.
func (j *judge) securityGroup() {
	if id := firstText(j.p, "GroupId", "GroupName"); id != "" {
		j.resources = []signalbox.Resource{j.resource("security-group", "", id, false)}
		j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
		j.drop(signalbox.TraitUnscoped, signalbox.TraitTop)
	}
}

// firewallOpened weighs who is let in. One address, a small block or another
// group is small change, though the next one may be wider: memory counts.
func firewallOpened(j *judge) {
	j.set(signalbox.Update, "opens a firewall a little")
	j.securityGroup()
	j.trait(signalbox.TraitDial)
	j.impact.Reversible = true
	rules := j.p.structs("IpPermissions")
	for _, r := range j.p.structs("SecurityGroupRules") {
		rules = append(rules, r.sub("SecurityGroupRule"))
	}
	if j.p.has("CidrIp") || j.p.has("IpProtocol") {
		rules = append(rules, j.p)
	}
	egress := strings.Contains(j.name, "Egress")
	for _, r := range rules {
		for _, cidr := range cidrs(r) {
			w, ok := width(cidr)
			switch {
			case !ok && !strings.Contains(cidr, "/"):
				j.raise(signalbox.Permission, "opens a firewall to what cannot be read")
			case !ok: // private
				if r.text("IpProtocol") == "-1" && strings.HasPrefix(cidr, "0.") {
					j.raise(signalbox.Permission, "opens every port")
				}
			case egress:
				if w >= widest && r.text("IpProtocol") != "-1" {
					j.say("lets traffic out")
				}
			case w >= widest && webPort(r):
				j.raise(signalbox.Permission, "opens the web's ports to all addresses")
			case w >= widest:
				j.raise(signalbox.Permission, "opens a firewall to all addresses", signalbox.TraitPublic)
			case w > 16:
				j.raise(signalbox.Permission, "opens a firewall to a large part of the internet")
			case r.text("IpProtocol") == "-1":
				j.raise(signalbox.Permission, "opens every port to the internet")
			}
		}
		if len(r.list("PrefixListIds")) > 0 || r.has("PrefixListId") {
			j.raise(signalbox.Permission, "opens a firewall to a list that is kept elsewhere")
		}
	}
}

func webPort(r params) bool {
	from, a := r.number("FromPort")
	to, b := r.number("ToPort")
	return a && b && from == to && (from == 443 || from == 80)
}

// cidrs gives the blocks of addresses of a rule.
func cidrs(r params) []string {
	var out []string
	for _, list := range []string{"IpRanges", "Ipv6Ranges"} {
		for _, x := range r.structs(list) {
			out = append(out, firstText(x, "CidrIp", "CidrIpv6"))
		}
	}
	for _, m := range []string{"CidrIp", "CidrIpv4", "CidrIpv6"} {
		if c := r.text(m); c != "" {
			out = append(out, c)
		}
	}
	return out
}

func networkACL(j *judge) {
	switch {
	case strings.EqualFold(j.p.text("RuleAction"), "deny"):
		j.interrupt("keeps traffic out of a subnet")
	case j.p.isNot("Egress"):
		if w, ok := width(firstText(j.p, "CidrBlock", "Ipv6CidrBlock")); ok && w >= widest {
			j.raise(signalbox.Permission, "opens a subnet to all addresses", signalbox.TraitPublic)
		}
	}
}

func instanceAttribute(j *judge) {
	attribute := j.p.text("Attribute")
	switch {
	case j.p.has("UserData"), strings.EqualFold(attribute, "userData"):
		j.raise(signalbox.Execute, "carries code that runs at the next start", signalbox.TraitDeferred)
	case j.p.isNot("DisableApiTermination", "Value"), strings.EqualFold(attribute, "disableApiTermination") &&
		off(j.p.get("Value")),
		j.p.isNot("DisableApiStop", "Value"), strings.EqualFold(attribute, "disableApiStop") && off(j.p.get("Value")):
		j.weaken("takes the protection from termination away")
	case strings.EqualFold(j.p.text("InstanceInitiatedShutdownBehavior", "Value"), "terminate"),
		strings.EqualFold(attribute, "instanceInitiatedShutdownBehavior") &&
			strings.EqualFold(j.p.text("Value"), "terminate"):
		j.weaken("has the next shutdown remove it")
	case len(j.p.list("Groups")) > 0, strings.EqualFold(attribute, "groupSet"):
		j.raise(signalbox.Permission, "puts it behind another firewall")
	case j.p.has("SourceDestCheck"), strings.EqualFold(attribute, "sourceDestCheck"):
		j.raise(signalbox.Permission, "lets it send as somebody else")
	case j.p.has("InstanceType"), j.p.has("Kernel"), j.p.has("Ramdisk"), strings.EqualFold(attribute, "instanceType"):
		j.interrupt("takes a stop and a start")
	}
	for _, b := range j.p.structs("BlockDeviceMappings") {
		if b.is("Ebs", "DeleteOnTermination") {
			j.weaken("has its volume removed with it")
		}
	}
}

// ec2Kinds are the types behind the prefixes of ids.
var ec2Kinds = map[string]string{
	"i": "instance", "vol": "volume", "snap": "snapshot", "ami": "image", "vpc": "vpc", "subnet": "subnet",
	"sg":  "security-group",
	"rtb": "route-table", "igw": "internet-gateway", "nat": "nat-gateway", "eni": "network-interface",
	"eipalloc": "address", "acl": "network-acl",
	"lt": "launch-template", "tgw": "transit-gateway", "vpce": "vpc-endpoint", "pcx": "vpc-peering-connection",
	"fl": "flow-log",
}

func ec2Tags(j *judge) {
	ids := j.p.texts("Resources")
	if len(ids) == 0 {
		return
	}
	j.resources = nil
	for _, id := range ids {
		prefix, _, _ := strings.Cut(id, "-")
		kind := ec2Kinds[prefix]
		if kind == "" {
			kind = "resource"
		}
		if len(j.resources) < maxResources {
			j.resources = append(j.resources, j.resource(kind, "", id, true))
		}
	}
}

// shared weighs who may use an image or a snapshot.
func shared(j *judge) {
	everybody := false
	for _, m := range []string{"GroupNames", "UserGroups", "ValuesToAdd", "AccountIdsToAdd", "AccountIds"} {
		for _, v := range j.p.texts(m) {
			everybody = everybody || strings.EqualFold(v, "all")
		}
	}
	adds := false
	for _, m := range []string{"LaunchPermission", "CreateVolumePermission", "LoadPermission"} {
		adds = adds || j.p.has(m, "Add")
	}
	if strings.EqualFold(j.p.text("OperationType"), "remove") && !adds {
		j.say("takes a share back")
		j.drop(signalbox.TraitPublic)
		return
	}
	if everybody {
		j.raise(signalbox.Permission, "opens it to everybody", signalbox.TraitPublic)
	}
}

// groupTags names the groups, which each label carries.
func groupTags(j *judge) {
	var groups []string
	for _, t := range j.p.structs("Tags") {
		if id := t.text("ResourceId"); id != "" {
			groups = appendNew(groups, id)
		}
	}
	if len(groups) == 0 {
		return
	}
	j.drop(signalbox.TraitTop, signalbox.TraitUnscoped)
	j.resources = nil
	for _, g := range groups[:min(len(groups), maxResources)] {
		j.resources = append(j.resources, j.resource("auto-scaling-group", "", g, true))
	}
	j.impact.Count, j.impact.Scope = int64(len(groups)), signalbox.ScopeOne
	if len(groups) > 1 {
		j.impact.Scope = signalbox.ScopeSome
	}
}
