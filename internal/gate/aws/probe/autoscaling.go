package probe

var autoScaling = map[string]prober{
	"autoscaling:UpdateAutoScalingGroup": scalingGroup,
	"autoscaling:SetDesiredCapacity":     scalingGroup,
	"autoscaling:DeleteAutoScalingGroup": scalingGroupGoes,
	"autoscaling:DetachInstances":        scalingGroup,
	"autoscaling:SuspendProcesses":       scalingGroup,
}

func scalingGroupGoes(l *look) error {
	if err := scalingGroup(l); err != nil {
		return err
	}
	l.impact.Count, l.impact.Reversible = l.impact.Total, false
	return nil
}

// scalingGroup tells of a group, and of how many machines a new size would end
// or start.
func scalingGroup(l *look) error {
	name := l.text("AutoScalingGroupName")
	a, err := l.ask("autoscaling", "DescribeAutoScalingGroups", map[string]any{"AutoScalingGroupNames": []any{name}})
	if err != nil {
		return err
	}
	found := a.List("AutoScalingGroups")
	if len(found) == 0 {
		return l.gone("scaling group", name)
	}
	g := found[0]
	var states []string
	for _, i := range g.List("Instances") {
		states = append(states, i.Text("LifecycleState"))
	}
	now := int64(len(states))
	l.fact("Group %s has %s (%s), at least %d, at most %d, wanted %d.", name, plural(len(states), "instance"),
		frequencies(states), g.Int("MinSize"), g.Int("MaxSize"), g.Int("DesiredCapacity"))
	l.bind("scaling group", g.Text("AutoScalingGroupARN"))
	l.impact.Total, l.impact.Count = now, now
	want, sized := l.number("DesiredCapacity")
	if most, ok := l.number("MaxSize"); ok && (!sized || most < want) {
		want, sized = min(most, now), true
	}
	if least, ok := l.number("MinSize"); ok && (!sized || least > want) {
		want, sized = max(least, want, now), true
	}
	if sized {
		switch {
		case want < now:
			l.fact("%s would be ended.", plural(int(now-want), "instance"))
		case want > now:
			l.fact("%s would be started.", plural(int(want-now), "instance"))
		}
		l.impact.Count = max(now-want, want-now)
	}
	if n := len(l.texts("InstanceIds")); n > 0 {
		l.impact.Count = int64(n)
	}
	return nil
}
