package probe

var lambda = map[string]prober{
	"lambda:DeleteFunction":                     function,
	"lambda:UpdateFunctionCode":                 function,
	"lambda:UpdateFunctionConfiguration":        function,
	"lambda:PutFunctionConcurrency":             function,
	"lambda:DeleteFunctionConcurrency":          function,
	"lambda:Invoke":                             function,
	"lambda:InvokeAsync":                        function,
	"lambda:AddPermission":                      function,
	"lambda:RemovePermission":                   function,
	"lambda:DeleteAlias":                        function,
	"lambda:UpdateAlias":                        function,
	"lambda:CreateFunctionUrlConfig":            function,
	"lambda:DeleteEventSourceMapping":           eventSource,
	"lambda:UpdateEventSourceMapping":           eventSource,
	"lambda:DeleteProvisionedConcurrencyConfig": function,
}

// function tells of a function and what calls it. The revision is bound: other
// code or another configuration is not what was approved.
func function(l *look) error {
	name := l.text("FunctionName")
	params := map[string]any{"FunctionName": name}
	if q := l.text("Qualifier"); q != "" {
		params["Qualifier"] = q
	}
	a, err := l.ask("lambda", "GetFunctionConfiguration", params)
	if absent(err) {
		return l.gone("function", name)
	}
	if err != nil {
		return err
	}
	l.fact("Function %s, %s, role %s, changed %s.", a.Text("FunctionArn"),
		firstOf(a.Text("Runtime"), a.Text("PackageType")), a.Text("Role"), a.Text("LastModified"))
	var sources, aliases []string
	if _, err := l.each(list{service: "lambda", operation: "ListEventSourceMappings",
		params: map[string]any{"FunctionName": name},
		items:  []string{"EventSourceMappings"}, token: "Marker", next: "NextMarker"}, func(m answer) { sources = append(sources, m.Text("EventSourceArn")) }); err != nil {
		l.fact("What feeds it could not be read.")
	} else if len(sources) > 0 {
		l.fact("It is fed by %s.", some(sources))
	}
	if _, err := l.each(list{service: "lambda", operation: "ListAliases", params: map[string]any{"FunctionName": name},
		items: []string{"Aliases"}, token: "Marker", next: "NextMarker"}, func(m answer) { aliases = append(aliases, m.Text("Name")) }); err == nil && len(aliases) > 0 {
		l.fact("Its aliases: %s.", some(aliases))
	}
	l.bind("function", a.Text("FunctionArn")+" "+firstOf(a.Text("RevisionId"), a.Text("CodeSha256")))
	l.impact.Count, l.impact.Dependants = 1, int64(len(sources))
	return nil
}

func eventSource(l *look) error {
	id := l.text("UUID")
	a, err := l.ask("lambda", "GetEventSourceMapping", map[string]any{"UUID": id})
	if absent(err) {
		return l.gone("event source mapping", id)
	}
	if err != nil {
		return err
	}
	l.fact("It feeds %s from %s, state %s.", a.Text("FunctionArn"), a.Text("EventSourceArn"), a.Text("State"))
	l.bind("event source mapping", id+" "+a.Text("LastModified"))
	l.impact.Count = 1
	return nil
}
