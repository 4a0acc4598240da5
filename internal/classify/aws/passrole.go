package aws

import (
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// roleMember are members that hand a role to a service, which then acts with it.
var roleMember = regexp.MustCompile(`(?i)^((iam|task|job|service|node|instance|execution|default|sns|lambda|kinesis|autoscaling|.*)?role(arn|name|s|tobeassumed)?|iaminstanceprofile|instanceprofile(name|arn)?|iaminstanceprofile(arn|name)|jobflowrole|servicerole)$`)

// mildRole are members for a role that a service uses for its own housekeeping:
// to fetch an image, to write a log.
var mildRole = regexp.MustCompile(`(?i)monitoringrole|executionrolearn$|cloudwatch.*role|log.*role|snsrole|flowlog|deliverlogspermission`)

// privileged are names of roles and groups with which anything can be done.
var privileged = regexp.MustCompile(`(?i)(^|[^a-z])(admin|administrator|administrators|admins|root|superuser|power-?users?|breakglass|break-glass|owner|god|full-?access)([^a-z]|$)|OrganizationAccountAccessRole|AWSControlTowerExecution|AdministratorAccess|[a-z]Admin(istrator)?s?([^a-z]|$)|AWSReservedSSO_Admin`)

// passRole says that the call hands a role over: whoever says what a service
// does then has that role's rights.
func (j *judge) passRole() {
	switch j.service {
	case "iam", "sts", "sso", "organizations", "ram", "kms", "identitystore", "lakeformation":
		return
	}
	switch j.verb {
	case signalbox.Read, signalbox.Delete:
		return
	}
	seen := map[string]bool{}
	walk(map[string]any(j.p), nil, func(path []string, v any) {
		name := path[len(path)-1]
		if (strings.EqualFold(name, "Arn") || strings.EqualFold(name, "Name")) && len(path) > 1 &&
			nameOf(path[len(path)-2]).role {
			name = path[len(path)-2]
		}
		s, ok := v.(string)
		if !ok || s == "" || !nameOf(name).role || isTagPath(path) || strings.Contains(s, "aws-service-role/") {
			return
		}
		if nameOf(name).mild && !(strings.EqualFold(name, "executionRoleArn") && j.service != "ecs") {
			return
		}
		short := shortName(s, "role")
		if seen[short] || len(seen) >= maxResources {
			return
		}
		seen[short] = true
		a := signalbox.Action{
			Verb: signalbox.Permission, Native: "iam:PassRole",
			Resources: []signalbox.Resource{{Type: "iam-role", Name: clipID(short)}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
			Reason:    "hands the role " + clip(short) + " to a service, which then acts with it",
		}
		if strings.HasPrefix(s, "arn:") {
			a.Resources[0].ID = clipID(s)
		}
		if privileged.MatchString(short) {
			a.Traits = append(a.Traits, signalbox.TraitAdmin)
		}
		j.also = append(j.also, a)
	})
}
