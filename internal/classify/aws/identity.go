package aws

import (
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func identityRules(rules, readRules map[string]rule) {
	readRules["sts:AssumeRole"] = func(j *judge) {
		role := j.p.text("RoleArn")
		name := shortName(role, "role")
		j.resources = []signalbox.Resource{{Type: "iam-role", Name: clipID(name), ID: clipID(role)}}
		j.impact.Scope, j.impact.Count = signalbox.ScopeOne, 1
		if privileged.MatchString(name) {
			j.trait(signalbox.TraitAdmin)
			j.say("a role with which anything can be done, by its name")
		}
		if a, ok := readARN(role); !ok {
			j.trait(signalbox.TraitAdmin)
			j.say("a role that cannot be told from its name")
		} else if j.call.Account != "" && a.account != j.call.Account {
			j.trait(signalbox.TraitAdmin)
			j.say("a role of another account")
		}
	}
	for _, name := range []string{"GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory"} {
		readRules["ssm:"+name] = func(j *judge) {
			if j.p.is("WithDecryption") {
				j.trait(signalbox.TraitCredentials)
				j.say("hands out secrets")
			}
		}
	}
	readRules["apigateway:GetApiKeys"] = apiKeys
	readRules["apigateway:GetApiKey"] = apiKeys
	for _, name := range []string{"AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy"} {
		rules["iam:"+name] = func(j *judge) {
			if privileged.MatchString(shortName(j.p.text("PolicyArn"), "policy")) {
				j.raise(signalbox.Permission, "gives rights without limit, by its name", signalbox.TraitAdmin)
			}
		}
	}
	rules["iam:AddUserToGroup"] = func(j *judge) {
		if privileged.MatchString(j.p.text("GroupName")) {
			j.raise(signalbox.Permission, "gives rights without limit, by its name", signalbox.TraitAdmin)
		}
	}
	rules["iam:AddRoleToInstanceProfile"] = func(j *judge) {
		if privileged.MatchString(j.p.text("RoleName")) {
			j.raise(signalbox.Permission, "gives rights without limit, by its name", signalbox.TraitAdmin)
		}
	}
	rules["iam:SetDefaultPolicyVersion"] = func(j *judge) { j.say("puts another version of a policy in force") }
	rules["iam:UpdateAssumeRolePolicy"] = func(j *judge) { j.say("changes who may act as the role") }
	rules["ram:CreateResourceShare"] = func(j *judge) {
		if j.p.is("allowExternalPrincipals") {
			j.raise(signalbox.Permission, "shares outside the organisation")
		}
	}
	rules["iam:*"] = func(j *judge) {
		// The one whose rights change counts, not the policy that is attached.
		for _, who := range [][2]string{{"UserName", "user"}, {"RoleName", "role"}, {"GroupName", "group"}} {
			if name := j.p.text(who[0]); name != "" {
				j.resources = []signalbox.Resource{j.resource(who[1], "", name, strings.HasPrefix(j.name, "Create") ||
					strings.HasPrefix(j.name, "Delete"+strings.ToUpper(who[1][:1])+who[1][1:]) &&
						len(words(j.name)) == 2)}
				j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
				if everything(name) {
					j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
					j.trait(signalbox.TraitUnscoped)
				}
				break
			}
		}
		j.drop(signalbox.TraitDataLoss)
	}
	rules["cognito-idp:AdminAddUserToGroup"] = rules["iam:AddUserToGroup"]
	rules["route53:ChangeResourceRecordSets"] = recordSets
	rules["cloudfront:UpdateDistribution"] = func(j *judge) {
		if j.p.isNot("DistributionConfig", "Enabled") {
			j.say("takes a distribution off the air")
		}
	}
	rules["cloudfront:CreateInvalidation"] = func(j *judge) { j.impact.Scope, j.impact.Count = signalbox.ScopeOne, 1 }
}

func apiKeys(j *judge) {
	if j.p.is("includeValues") || j.p.is("includeValue") {
		j.trait(signalbox.TraitCredentials)
		j.say("hands out secrets")
	}
}

// recordSets weighs changes of DNS records: what is removed, and what lets a
// name that others use stand for something else.
func recordSets(j *judge) {
	changes := j.p.structs("ChangeBatch", "Changes")
	var removed, moved, added int64
	for _, c := range changes {
		set := c.sub("ResourceRecordSet")
		kind := strings.ToUpper(set.text("Type"))
		switch strings.ToUpper(c.text("Action")) {
		case "DELETE":
			removed++
		case "CREATE":
			added++
			if strings.HasPrefix(set.text("Name"), "*") || kind == "NS" {
				moved++
			}
		default:
			weight, weighed := set.number("Weight")
			switch {
			case kind == "TXT" && strings.HasPrefix(set.text("Name"), "_"): // proves a domain
			case weighed && weight > 0: // a share of what goes there
				j.trait(signalbox.TraitDial)
			case weighed:
				j.interrupt("sends no traffic there")
			default:
				moved++
			}
		}
	}
	n := int64(len(changes))
	j.impact.Count, j.impact.Scope = n, signalbox.ScopeSome
	if n == 1 {
		j.impact.Scope = signalbox.ScopeOne
	}
	for i := range j.resources {
		j.resources[i].Type, j.resources[i].Whole = "hosted-zone", false
	}
	switch {
	case n == 0:
		j.trait(signalbox.TraitUnparsed)
	case removed > 0:
		j.set(signalbox.Delete, "removes records by which others find something")
		j.impact.Reversible = false
		j.impact.Count = removed
	case moved > 0:
		j.set(signalbox.Update, "lets a name stand for something else", signalbox.TraitRename)
	case added > 0:
		j.set(signalbox.Create, "adds records")
	}
	if n > bulk {
		j.trait(signalbox.TraitBulk)
	}
}
