package probe

// Containers: ECS and EKS.
var containers = map[string]prober{
	"ecs:DeleteService":         ecsService,
	"ecs:UpdateService":         ecsService,
	"ecs:DeleteCluster":         ecsCluster,
	"eks:DeleteCluster":         eksCluster,
	"eks:UpdateClusterConfig":   eksCluster,
	"eks:DeleteNodegroup":       nodeGroup,
	"eks:UpdateNodegroupConfig": nodeGroup,
}

func ecsService(l *look) error {
	name := firstOf(l.text("service"), l.text("serviceName"))
	params := map[string]any{"services": []any{name}}
	if c := l.text("cluster"); c != "" {
		params["cluster"] = c
	}
	a, err := l.ask("ecs", "DescribeServices", params)
	if absent(err) {
		return l.gone("service", name)
	}
	if err != nil {
		return err
	}
	found := a.List("services")
	if len(found) == 0 {
		return l.gone("service", name)
	}
	s := found[0]
	running, balancers := s.Int("runningCount"), s.List("loadBalancers")
	l.fact("Service %s, %s, %d of %d tasks running, task definition %s, behind %s.", s.Text("serviceArn"),
		s.Text("status"),
		running, s.Int("desiredCount"), s.Text("taskDefinition"), plural(len(balancers), "load balancer"))
	l.bind("service", s.Text("serviceArn")+" made "+s.Text("createdAt"))
	l.bind("task definition", s.Text("taskDefinition"))
	l.impact.Count = running
	if want, ok := l.number("desiredCount"); ok && l.call.Operation == "UpdateService" {
		l.fact("It would have %d tasks.", want)
		l.impact.Count = max(running-want, want-running)
	}
	return nil
}

func ecsCluster(l *look) error {
	name := firstOf(l.text("cluster"), "default")
	a, err := l.ask("ecs", "DescribeClusters", map[string]any{"clusters": []any{name}})
	if err != nil {
		return err
	}
	found := a.List("clusters")
	if len(found) == 0 {
		return l.gone("cluster", name)
	}
	c := found[0]
	services, tasks := c.Int("activeServicesCount"), c.Int("runningTasksCount")
	l.fact("Cluster %s, %s, with %d services, %d running tasks and %d machines.", c.Text("clusterArn"),
		c.Text("status"), services, tasks, c.Int("registeredContainerInstancesCount"))
	l.bind("cluster", c.Text("clusterArn"))
	l.impact.Count, l.impact.Dependants = 1, services+tasks
	return nil
}

func eksCluster(l *look) error {
	name := l.text("name")
	a, err := l.ask("eks", "DescribeCluster", map[string]any{"name": name})
	if absent(err) {
		return l.gone("cluster", name)
	}
	if err != nil {
		return err
	}
	var groups []string
	if _, err := l.each(list{service: "eks", operation: "ListNodegroups", params: map[string]any{"clusterName": name},
		items: []string{"nodegroups"}, token: "nextToken", next: "nextToken"}, func(g answer) { groups = append(groups, g.Text()) }); err != nil {
		l.fact("Its node groups could not be read.")
	}
	l.fact("Cluster %s, version %s, %s, with %s: %s. What runs in it, AWS does not tell.", a.Text("cluster", "arn"),
		a.Text("cluster", "version"),
		a.Text("cluster", "status"), plural(len(groups), "node group"), firstOf(some(groups), "none"))
	l.bind("cluster", a.Text("cluster", "arn")+" made "+a.Text("cluster", "createdAt"))
	l.impact.Count, l.impact.Dependants = 1, int64(len(groups))
	return nil
}

func nodeGroup(l *look) error {
	name := l.text("nodegroupName")
	a, err := l.ask("eks", "DescribeNodegroup",
		map[string]any{"clusterName": l.text("clusterName"), "nodegroupName": name})
	if absent(err) {
		return l.gone("node group", name)
	}
	if err != nil {
		return err
	}
	n := a.Int("nodegroup", "scalingConfig", "desiredSize")
	l.fact("Node group %s, %s, wants %d machines.", a.Text("nodegroup", "nodegroupArn"),
		a.Text("nodegroup", "status"), n)
	l.bind("node group", a.Text("nodegroup", "nodegroupArn")+" made "+a.Text("nodegroup", "createdAt"))
	l.impact.Count = n
	return nil
}
