package aws

// A StackResource is one resource that a CloudFormation template describes.
type StackResource struct {
	Type           string // "AWS::RDS::DBInstance"
	DeletionPolicy string // "Retain", "Snapshot", "RetainExceptOnCreate" or "Delete"; empty where the template leaves it to the type
}

// StackResources gives the resources of a CloudFormation template, in JSON or
// YAML, by their logical names. Macros may make others of them.
func StackResources(template string) (map[string]StackResource, error) {
	described, _, err := templateResources(template)
	if err != nil {
		return nil, err
	}
	all := make(map[string]StackResource, len(described))
	for name, r := range described {
		p, _ := r.(map[string]any)
		all[name] = StackResource{Type: params(p).text("Type"), DeletionPolicy: params(p).text("DeletionPolicy")}
	}
	return all, nil
}
