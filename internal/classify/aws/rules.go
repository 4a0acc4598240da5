package aws

// A rule looks at the parameters of one operation, or of one service's.
type rule func(*judge)

// rules are by "service:Operation"; "service:*" comes before. readRules are for
// operations that read. Each file of a service's rules adds its own.
var rules, readRules = func() (rules, readRules map[string]rule) {
	rules, readRules = map[string]rule{}, map[string]rule{}
	codeRules(rules)
	computeRules(rules)
	databasesRules(rules)
	dynamodbRules(rules)
	ec2Rules(rules)
	identityRules(rules, readRules)
	s3Rules(rules)
	templateRules(rules)
	watchRules(rules)
	return rules, readRules
}()
