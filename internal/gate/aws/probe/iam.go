package probe

import "errors"

var iam = map[string]prober{
	"iam:DeleteRole":                  role,
	"iam:UpdateAssumeRolePolicy":      role,
	"iam:AttachRolePolicy":            role,
	"iam:DetachRolePolicy":            role,
	"iam:PutRolePolicy":               role,
	"iam:DeleteRolePolicy":            role,
	"iam:DeleteUser":                  user,
	"iam:DeleteLoginProfile":          user,
	"iam:DeleteAccessKey":             accessKey,
	"iam:UpdateAccessKey":             accessKey,
	"iam:CreateAccessKey":             user,
	"iam:AttachUserPolicy":            user,
	"iam:DetachUserPolicy":            user,
	"iam:PutUserPolicy":               user,
	"iam:DeletePolicy":                managedPolicy,
	"iam:DeletePolicyVersion":         managedPolicy,
	"iam:CreatePolicyVersion":         managedPolicy,
	"iam:SetDefaultPolicyVersion":     managedPolicy,
	"iam:DeleteGroup":                 group,
	"iam:AttachGroupPolicy":           group,
	"iam:DetachGroupPolicy":           group,
	"iam:PutGroupPolicy":              group,
	"iam:DeleteInstanceProfile":       instanceProfile,
	"iam:RemoveUserFromGroup":         user,
	"iam:DeactivateMFADevice":         user,
	"iam:DeleteUserPolicy":            user,
	"iam:DeleteAccountAlias":          accountWide,
	"iam:DeleteAccountPasswordPolicy": accountWide,
	"iam:UpdateAccountPasswordPolicy": accountWide,
}

func role(l *look) error {
	name := l.text("RoleName")
	a, err := l.ask("iam", "GetRole", map[string]any{"RoleName": name})
	if absent(err) {
		return l.gone("role", name)
	}
	if err != nil {
		return err
	}
	l.fact("Role %s, made %s, last used %s.", a.Text("Role", "Arn"), a.Text("Role", "CreateDate"),
		orNever(a.Text("Role", "RoleLastUsed", "LastUsedDate")))
	attached(l, "ListAttachedRolePolicies", map[string]any{"RoleName": name})
	var profiles []string
	if _, err := l.each(list{service: "iam", operation: "ListInstanceProfilesForRole",
		params: map[string]any{"RoleName": name},
		items:  []string{"InstanceProfiles"}, token: "Marker", next: "Marker"}, func(p answer) { profiles = append(profiles, p.Text("InstanceProfileName")) }); err == nil && len(profiles) > 0 {
		l.fact("Machines use it through %s.", some(profiles))
	}
	l.bind("role", a.Text("Role", "RoleId"))
	l.impact.Count, l.impact.Dependants = 1, int64(len(profiles))
	return nil
}

// attached tells which managed policies are attached, and binds them.
func attached(l *look, operation string, params map[string]any) {
	var arns []string
	_, err := l.each(list{service: "iam", operation: operation, params: params,
		items: []string{"AttachedPolicies"}, token: "Marker", next: "Marker"}, func(p answer) {
		arns = append(arns,
			p.Text("PolicyArn"))
	})
	switch {
	case err != nil:
		l.fact("Its policies could not be read.")
	case len(arns) == 0:
		l.fact("No managed policy is attached to it.")
	default:
		l.fact("Attached: %s.", some(arns))
	}
	l.bindSet("attached policies", arns)
}

func user(l *look) error {
	name := l.text("UserName")
	if name == "" {
		return errNobody
	}
	a, err := l.ask("iam", "GetUser", map[string]any{"UserName": name})
	if absent(err) {
		return l.gone("user", name)
	}
	if err != nil {
		return err
	}
	l.fact("User %s, made %s, password last used %s.", a.Text("User", "Arn"), a.Text("User", "CreateDate"),
		orNever(a.Text("User", "PasswordLastUsed")))
	attached(l, "ListAttachedUserPolicies", map[string]any{"UserName": name})
	keys := 0
	_, err = l.each(list{service: "iam", operation: "ListAccessKeys", params: map[string]any{"UserName": name},
		items: []string{"AccessKeyMetadata"}, token: "Marker", next: "Marker"}, func(k answer) {
		keys++
		lastUse(l, k.Text("AccessKeyId"), k.Text("Status"))
	})
	if err != nil {
		l.fact("The user's access keys could not be read.")
	}
	l.bind("user", a.Text("User", "UserId"))
	l.impact.Count, l.impact.Dependants = 1, int64(keys)
	return nil
}

func lastUse(l *look, key, status string) {
	a, err := l.ask("iam", "GetAccessKeyLastUsed", map[string]any{"AccessKeyId": key})
	if err != nil {
		l.fact("Access key %s, %s: when it was last used could not be told.", key, status)
		return
	}
	l.fact("Access key %s, %s, last used %s (%s).", key, status, orNever(a.Text("AccessKeyLastUsed", "LastUsedDate")),
		firstOf(a.Text("AccessKeyLastUsed", "ServiceName"), "no service"))
}

func accessKey(l *look) error {
	key := l.text("AccessKeyId")
	lastUse(l, key, firstOf(l.text("Status"), "to be deleted"))
	l.bind("access key", key+" of "+l.text("UserName"))
	l.impact.Count = 1
	return nil
}

func managedPolicy(l *look) error {
	arn := l.text("PolicyArn")
	a, err := l.ask("iam", "GetPolicy", map[string]any{"PolicyArn": arn})
	if absent(err) {
		return l.gone("policy", arn)
	}
	if err != nil {
		return err
	}
	n := a.Int("Policy", "AttachmentCount")
	l.fact("Policy %s, version %s in force, attached %d times.", arn, a.Text("Policy", "DefaultVersionId"), n)
	if n > 0 {
		if e, err := l.ask("iam", "ListEntitiesForPolicy", map[string]any{"PolicyArn": arn}); err == nil {
			var who []string
			for _, kind := range []struct{ list, name string }{{"PolicyRoles", "RoleName"},
				{"PolicyUsers", "UserName"}, {"PolicyGroups", "GroupName"}} {
				for _, x := range e.List(kind.list) {
					who = append(who, x.Text(kind.name))
				}
			}
			l.fact("By: %s.", some(who))
		}
	}
	l.bind("policy", a.Text("Policy", "PolicyId")+" "+a.Text("Policy", "DefaultVersionId"))
	l.impact.Count, l.impact.Dependants = 1, n
	return nil
}

func group(l *look) error {
	name := l.text("GroupName")
	var members []string
	id := ""
	a, err := l.ask("iam", "GetGroup", map[string]any{"GroupName": name})
	if absent(err) {
		return l.gone("group", name)
	}
	if err != nil {
		return err
	}
	id = a.Text("Group", "GroupId")
	for _, u := range a.List("Users") {
		members = append(members, u.Text("UserName"))
	}
	l.fact("Group %s has %s: %s.", name, plural(len(members), "member"), firstOf(some(members), "nobody"))
	if a.Bool("IsTruncated") {
		l.fact("It has more members than these.")
	}
	attached(l, "ListAttachedGroupPolicies", map[string]any{"GroupName": name})
	l.bind("group", id)
	l.impact.Count, l.impact.Dependants = 1, int64(len(members))
	return nil
}

func instanceProfile(l *look) error {
	name := l.text("InstanceProfileName")
	a, err := l.ask("iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": name})
	if absent(err) {
		return l.gone("instance profile", name)
	}
	if err != nil {
		return err
	}
	arn := a.Text("InstanceProfile", "Arn")
	var users []string
	whole, err := l.each(list{service: "ec2", operation: "DescribeInstances",
		params: map[string]any{"Filters": filter("iam-instance-profile.arn", arn)},
		items:  []string{"Reservations"}, token: "NextToken", next: "NextToken"}, func(r answer) {
		for _, i := range r.List("Instances") {
			users = append(users, i.Text("InstanceId"))
		}
	})
	if err != nil {
		return err
	}
	l.fact("%s in this region use it: %s.", plural(len(users), "instance"), firstOf(some(users), "none"))
	if !whole {
		l.fact("There are more than these.")
	}
	l.bind("instance profile", a.Text("InstanceProfile", "InstanceProfileId"))
	l.impact.Count, l.impact.Dependants = 1, int64(len(users))
	return nil
}

// accountWide tells how many identities a rule for the whole account concerns.
func accountWide(l *look) error {
	a, err := l.ask("iam", "GetAccountSummary", map[string]any{})
	if err != nil {
		return err
	}
	users := a.Int("SummaryMap", "Users")
	l.fact("The account has %d users, %d roles and %d groups.", users, a.Int("SummaryMap", "Roles"),
		a.Int("SummaryMap", "Groups"))
	l.bind("account", l.call.Account)
	l.impact.Count = users
	return nil
}

// errNobody is for calls whose user is whoever makes them: behind the gate that
// is the gate itself.
var errNobody = errors.New("the call names no user, so it means the gate's own identity")
