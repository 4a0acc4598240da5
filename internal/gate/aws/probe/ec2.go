package probe

import (
	"fmt"
	"slices"
)

var ec2 = map[string]prober{
	"ec2:TerminateInstances":            instancesGo,
	"ec2:StopInstances":                 instances,
	"ec2:RebootInstances":               instances,
	"ec2:ModifyInstanceAttribute":       oneInstance,
	"ec2:DeleteVolume":                  volume,
	"ec2:DeleteSnapshot":                snapshot,
	"ec2:DeregisterImage":               image,
	"ec2:DeleteVpc":                     interfacesIn("VpcId", "vpc-id", "network"),
	"ec2:DeleteSubnet":                  interfacesIn("SubnetId", "subnet-id", "subnet"),
	"ec2:DeleteSecurityGroup":           interfacesIn("GroupId", "group-id", "security group"),
	"ec2:AuthorizeSecurityGroupIngress": interfacesIn("GroupId", "group-id", "security group"),
	"ec2:AuthorizeSecurityGroupEgress":  interfacesIn("GroupId", "group-id", "security group"),
	"ec2:RevokeSecurityGroupIngress":    interfacesIn("GroupId", "group-id", "security group"),
	"ec2:RevokeSecurityGroupEgress":     interfacesIn("GroupId", "group-id", "security group"),
	"ec2:ReplaceNetworkAclAssociation":  aclAssociation,
	"ec2:DeleteRoute":                   routeTable,
	"ec2:ReplaceRoute":                  routeTable,
	"ec2:DeleteRouteTable":              routeTable,
	"ec2:DisassociateRouteTable":        routeAssociation,
}

func filter(name string, values ...string) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return []any{map[string]any{"Name": name, "Values": list}}
}

func asList(ids []string) []any {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return list
}

func instancesGo(l *look) error {
	lost, err := tellInstances(l, l.texts("InstanceIds"))
	if err != nil {
		return err
	}
	l.impact.Reversible = false
	if len(lost) == 0 {
		l.fact("No volume is deleted with them.")
		return nil
	}
	l.impact.Dependants = int64(len(lost))
	l.fact("%s deleted with them: %s.", plural(len(lost), "volume"), some(lost))
	var kept []string
	whole, err := l.each(list{service: "ec2", operation: "DescribeSnapshots",
		params: map[string]any{"Filters": filter("volume-id", lost...), "OwnerIds": []any{"self"}},
		items:  []string{"Snapshots"}, token: "NextToken", next: "NextToken"}, func(s answer) {
		if v := s.Text("VolumeId"); !slices.Contains(kept, v) {
			kept = append(kept, v)
		}
	})
	switch {
	case err != nil:
		l.fact("Whether there are snapshots of them could not be told.")
	case whole:
		l.fact("%d of these volumes have a snapshot.", len(kept))
	}
	return nil
}

func instances(l *look) error {
	_, err := tellInstances(l, l.texts("InstanceIds"))
	return err
}

func oneInstance(l *look) error {
	_, err := tellInstances(l, []string{l.text("InstanceId")})
	return err
}

// tellInstances tells of instances, and gives the volumes that end with them.
func tellInstances(l *look, ids []string) (volumes []string, err error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("no instance is named")
	}
	var names, states, identity, scaled []string
	whole, err := l.each(list{service: "ec2", operation: "DescribeInstances",
		params: map[string]any{"InstanceIds": asList(ids)},
		items:  []string{"Reservations"}, token: "NextToken", next: "NextToken"}, func(r answer) {
		for _, i := range r.List("Instances") {
			id, name := i.Text("InstanceId"), ""
			for _, t := range i.List("Tags") {
				switch t.Text("Key") {
				case "Name":
					name = " " + t.Text("Value")
				case "aws:autoscaling:groupName":
					scaled = append(scaled, t.Text("Value"))
				}
			}
			names = append(names, id+name)
			states = append(states, i.Text("State", "Name"))
			identity = append(identity, id+" "+i.Text("LaunchTime")+" "+i.Text("VpcId"))
			for _, b := range i.List("BlockDeviceMappings") {
				if b.Bool("Ebs", "DeleteOnTermination") {
					volumes = append(volumes, b.Text("Ebs", "VolumeId"))
				}
			}
		}
	})
	if absent(err) {
		return nil, l.gone("instance", some(ids))
	}
	if err != nil {
		return nil, err
	}
	l.fact("%s (%s): %s.", plural(len(names), "instance"), frequencies(states), some(names))
	if len(scaled) > 0 {
		l.fact("Of scaling groups: %s.", frequencies(scaled))
	}
	l.bindSet("instances", identity)
	l.bindSet("volumes", volumes)
	l.count(int64(len(names)), whole)
	return volumes, nil
}

func volume(l *look) error {
	id := l.text("VolumeId")
	a, err := l.ask("ec2", "DescribeVolumes", map[string]any{"VolumeIds": []any{id}})
	if absent(err) {
		return l.gone("volume", id)
	}
	if err != nil {
		return err
	}
	for _, v := range a.List("Volumes") {
		l.fact("%d GiB, %s, %s.", v.Int("Size"), v.Text("State"), plural(len(v.List("Attachments")), "attachment"))
		l.bind("volume", id+" made "+v.Text("CreateTime"))
	}
	n := 0
	whole, err := l.each(list{service: "ec2", operation: "DescribeSnapshots",
		params: map[string]any{"Filters": filter("volume-id", id), "OwnerIds": []any{"self"}},
		items:  []string{"Snapshots"}, token: "NextToken", next: "NextToken"}, func(answer) { n++ })
	if err == nil && whole {
		l.fact("%s of it exist.", plural(n, "snapshot"))
	}
	l.impact.Count, l.impact.Reversible = 1, false
	return nil
}

func snapshot(l *look) error {
	id := l.text("SnapshotId")
	a, err := l.ask("ec2", "DescribeSnapshots", map[string]any{"SnapshotIds": []any{id}})
	if absent(err) {
		return l.gone("snapshot", id)
	}
	if err != nil {
		return err
	}
	for _, s := range a.List("Snapshots") {
		l.fact("Taken of %s at %s, %d GiB: %q.", s.Text("VolumeId"), s.Text("StartTime"), s.Int("VolumeSize"),
			s.Text("Description"))
		l.bind("snapshot", id+" of "+s.Text("StartTime"))
	}
	var images []string
	_, err = l.each(list{service: "ec2", operation: "DescribeImages",
		params: map[string]any{"Filters": filter("block-device-mapping.snapshot-id", id), "Owners": []any{"self"}},
		items:  []string{"Images"}, token: "NextToken", next: "NextToken"}, func(i answer) {
		images = append(images,
			i.Text("ImageId"))
	})
	if err == nil && len(images) > 0 {
		l.fact("%s made of it: %s.", plural(len(images), "image"), some(images))
	}
	l.impact.Count, l.impact.Dependants, l.impact.Reversible = 1, int64(len(images)), false
	return nil
}

func image(l *look) error {
	id := l.text("ImageId")
	a, err := l.ask("ec2", "DescribeImages", map[string]any{"ImageIds": []any{id}})
	if absent(err) {
		return l.gone("image", id)
	}
	if err != nil {
		return err
	}
	for _, i := range a.List("Images") {
		l.fact("Image %q, made %s, last launched %s.", i.Text("Name"), i.Text("CreationDate"),
			orNever(i.Text("LastLaunchedTime")))
		l.bind("image", id+" made "+i.Text("CreationDate"))
	}
	var running []string
	whole, err := l.each(list{service: "ec2", operation: "DescribeInstances",
		params: map[string]any{"Filters": filter("image-id", id)},
		items:  []string{"Reservations"}, token: "NextToken", next: "NextToken"}, func(r answer) {
		for _, i := range r.List("Instances") {
			running = append(running, i.Text("InstanceId"))
		}
	})
	if err != nil {
		return err
	}
	l.fact("%s made from it. Launch templates and scaling groups that name it can launch nothing once it is gone.",
		plural(len(running), "instance"))
	l.impact.Dependants, l.impact.Reversible = int64(len(running)), false
	if !whole {
		l.fact("There are more than these.")
	}
	l.impact.Count = 1
	return nil
}

// interfacesIn tells how many network interfaces are in what a parameter names.
func interfacesIn(param, by, what string) prober {
	return func(l *look) error {
		id := l.text(param)
		if id == "" {
			return fmt.Errorf("the %s is not named by its id", what)
		}
		return interfaces(l, by, id, what)
	}
}

func interfaces(l *look, by, id, what string) error {
	var attached []string
	whole, err := l.each(list{service: "ec2", operation: "DescribeNetworkInterfaces",
		params: map[string]any{"Filters": filter(by, id)},
		items:  []string{"NetworkInterfaces"}, token: "NextToken", next: "NextToken"}, func(n answer) {
		attached = append(attached, firstOf(n.Text("Attachment", "InstanceId"), n.Text("Description"),
			n.Text("NetworkInterfaceId")))
	})
	if err != nil {
		return err
	}
	l.fact("%s in %s %s: %s.", plural(len(attached), "network interface"), what, id,
		firstOf(frequencies(attached), "nobody uses it"))
	l.bind(what, id)
	l.count(int64(len(attached)), whole)
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func aclAssociation(l *look) error {
	id := l.text("AssociationId")
	a, err := l.ask("ec2", "DescribeNetworkAcls", map[string]any{"Filters": filter("association.association-id", id)})
	if err != nil {
		return err
	}
	for _, acl := range a.List("NetworkAcls") {
		for _, as := range acl.List("Associations") {
			if as.Text("NetworkAclAssociationId") == id {
				l.fact("Subnet %s is under %s now.", as.Text("SubnetId"), acl.Text("NetworkAclId"))
				l.bind("access list", acl.Text("NetworkAclId"))
				return interfaces(l, "subnet-id", as.Text("SubnetId"), "subnet")
			}
		}
	}
	return l.gone("association", id)
}

func routeTable(l *look) error { return routes(l, "route-table-id", l.text("RouteTableId")) }

func routeAssociation(l *look) error {
	return routes(l, "association.route-table-association-id", l.text("AssociationId"))
}

func routes(l *look, by, id string) error {
	a, err := l.ask("ec2", "DescribeRouteTables", map[string]any{"Filters": filter(by, id)})
	if err != nil {
		return err
	}
	tables := a.List("RouteTables")
	if len(tables) == 0 {
		return l.gone("route table", id)
	}
	t := tables[0]
	var subnets []string
	for _, as := range t.List("Associations") {
		if as.Bool("Main") {
			l.fact("It is the main table of its network: subnets without one of their own use it too.")
		}
		if s := as.Text("SubnetId"); s != "" {
			subnets = append(subnets, s)
		}
	}
	l.fact("Table %s of %s has %s and serves %s: %s.", t.Text("RouteTableId"), t.Text("VpcId"),
		plural(len(t.List("Routes")), "route"),
		plural(len(subnets), "subnet"), firstOf(some(subnets), "none by name"))
	l.bind("route table", t.Text("RouteTableId"))
	l.bindSet("subnets", subnets)
	l.impact.Count, l.impact.Dependants = 1, int64(len(subnets))
	return nil
}
