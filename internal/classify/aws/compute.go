package aws

import (
	"strings"

	"github.com/signalbox-dev/signalbox"
)

func computeRules(rules map[string]rule) {
	rules["lambda:UpdateFunctionConfiguration"] = lambdaConfiguration
	rules["lambda:Invoke"] = func(j *judge) {
		if j.p.text("InvocationType") == "DryRun" {
			j.set(signalbox.Read, "a dry run, which runs nothing")
			j.besides, j.traits = nil, nil
			j.impact.Reversible = true
		}
	}
	rules["lambda:AddPermission"] = func(j *judge) {
		if j.p.text("Principal") == "*" && !j.p.has("SourceArn") && !j.p.has("PrincipalOrgID") {
			j.raise(signalbox.Permission, "lets everybody run it", signalbox.TraitPublic)
		}
	}
	for _, name := range []string{"CreateService", "UpdateService", "DeleteService"} {
		rules["ecs:"+name] = ecsService
	}
	rules["ecs:StopTask"] = func(j *judge) {
		// A service starts another one. Memory counts in the cluster.
		cluster := j.p.text("cluster")
		if cluster == "" {
			cluster = "default"
		}
		j.drop(signalbox.TraitInterrupts)
		j.trait(signalbox.TraitDial)
		j.resources = []signalbox.Resource{j.resource("cluster", "", cluster, false)}
		j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
	}
	rules["autoscaling:EnterStandby"] = func(j *judge) {
		j.trait(signalbox.TraitDial)
		if len(j.p.list("InstanceIds")) == 1 {
			j.drop(signalbox.TraitInterrupts)
		}
	}
	rules["ecs:UpdateContainerInstancesState"] = func(j *judge) {
		if strings.EqualFold(j.p.text("status"), "DRAINING") {
			j.interrupt("moves what runs there away")
		}
	}
	rules["eks:AssociateAccessPolicy"] = func(j *judge) {
		if strings.Contains(j.p.text("policyArn"), "Admin") {
			j.raise(signalbox.Permission, "gives rights without limit in the cluster", signalbox.TraitAdmin)
		}
	}
	rules["eks:CreateAccessEntry"] = eksGroups
	rules["eks:UpdateAccessEntry"] = eksGroups
	for _, name := range []string{"DeregisterTargets", "DeregisterInstancesFromLoadBalancer"} {
		rules["elasticloadbalancing:"+name] = leaves
	}
	rules["servicediscovery:DeregisterInstance"] = leaves
	rules["rds:DeregisterDBProxyTargets"] = leaves
	rules["vpc-lattice:DeregisterTargets"] = leaves
	for _, name := range []string{"ModifyListener", "ModifyRule", "CreateRule", "CreateListener"} {
		rules["elasticloadbalancing:"+name] = listener
	}
	rules["elasticloadbalancing:SetRulePriorities"] = func(j *judge) { j.interrupt("sends traffic another way") }
	rules["ssm:SendCommand"] = sendCommand
	rules["ssm:StartAutomationExecution"] = targets
	rules["ssm:StartSession"] = func(j *judge) { j.say("opens a shell on a host") }
	rules["ssm:ModifyDocumentPermission"] = shared
	rules["autoscaling:SetInstanceProtection"] = func(j *judge) {
		if j.p.isNot("ProtectedFromScaleIn") {
			j.weaken("lets instances be removed when the group shrinks")
		}
	}
	rules["autoscaling:SuspendProcesses"] = func(j *judge) { j.say("stops what keeps the group whole") }
	rules["autoscaling:SetInstanceHealth"] = func(j *judge) {
		if strings.EqualFold(j.p.text("HealthStatus"), "Unhealthy") {
			j.set(signalbox.Delete, "has the group remove an instance")
		}
	}
	rules["autoscaling:UpdateAutoScalingGroup"] = func(j *judge) {
		for _, m := range []string{"LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy"} {
			if j.p.has(m) {
				j.trait(signalbox.TraitRename)
				j.say("changes what the group launches")
			}
		}
	}
	rules["codepipeline:PutApprovalResult"] = func(j *judge) {
		j.set(signalbox.Permission, "answers for a person who should approve")
	}
	rules["codebuild:StartBuild"] = build
	rules["codebuild:StartBuildBatch"] = build
	for _, name := range []string{"UpdateStage", "UpdateMethod", "UpdateRestApi", "UpdateUsagePlan"} {
		rules["apigateway:"+name] = patches
	}
}

// build starts a build. As its project is defined, that is small change; what is
// given in place of the definition may do anything with the project's rights.
func build(j *judge) {
	for _, m := range sortedKeys(j.p) {
		if strings.HasSuffix(strings.ToLower(m), "override") {
			j.trait(signalbox.TraitDeferred)
			j.raise(signalbox.Execute, "builds something else than the project says: "+clip(m))
		}
	}
}

func lambdaConfiguration(j *judge) {
	for _, m := range []string{"Environment", "Layers", "Handler", "Runtime", "ImageConfig", "FileSystemConfigs",
		"SnapStart"} {
		if j.p.has(m) {
			j.raise(signalbox.Execute, "changes "+m+", and so what the code does", signalbox.TraitDeferred)
		}
	}
	for _, m := range []string{"VpcConfig", "KMSKeyArn"} {
		if j.p.has(m) {
			j.interrupt("changes " + m)
		}
	}
	if v, ok := j.p.get("DeadLetterConfig", "TargetArn").(string); ok && v == "" {
		j.weaken("drops what could not be done")
	}
}

func ecsService(j *judge) {
	name := j.p.text("service")
	if j.name == "CreateService" {
		name = j.p.text("serviceName")
	}
	cluster := j.p.text("cluster")
	if cluster == "" {
		cluster = "default"
	}
	if strings.HasPrefix(name, "arn:") {
		j.resources = []signalbox.Resource{{Type: "ecs-service", Name: clipID(shortName(name, "service")),
			ID: clipID(name), Whole: true}}
	} else {
		j.resources = []signalbox.Resource{j.resource("service", shortName(cluster, "cluster")+"/", name, true)}
	}
	j.impact.Count, j.impact.Scope = 1, signalbox.ScopeOne
	if everything(name) {
		j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
		j.trait(signalbox.TraitUnscoped)
	}
	if j.name == "UpdateService" {
		if n, ok := j.p.number("deploymentConfiguration", "minimumHealthyPercent"); ok && n == 0 {
			j.interrupt("lets a deployment stop every task at once")
		}
		if j.p.is("enableExecuteCommand") {
			j.raise(signalbox.Permission, "lets shells be opened in its containers")
		}
		for _, m := range []string{"taskDefinition", "serviceConnectConfiguration", "volumeConfigurations",
			"capacityProviderStrategy", "platformVersion"} {
			if j.p.has(m) {
				j.raise(signalbox.Execute, "changes "+m+", and so what it runs", signalbox.TraitDeferred)
			}
		}
		if j.p.has("networkConfiguration") {
			j.raise(signalbox.Permission, "puts it behind another firewall")
		}
	}
}

func eksGroups(j *judge) {
	for _, g := range j.p.texts("kubernetesGroups") {
		if g == "system:masters" || privileged.MatchString(g) {
			j.raise(signalbox.Permission, "gives rights without limit in the cluster", signalbox.TraitAdmin)
		}
	}
}

// leaves is for what is taken out of what serves: one is small change, the next
// may be the last. Memory counts.
func leaves(j *judge) {
	j.trait(signalbox.TraitDial)
	n := len(j.p.list("Targets")) + len(j.p.list("Instances")) + len(j.p.list("DBInstanceIdentifiers")) +
		len(j.p.list("DBClusterIdentifiers"))
	if j.p.has("InstanceId") {
		n = 1
	}
	kind, group := "target-group", firstText(j.p, "TargetGroupArn", "TargetGroupName", "targetGroupIdentifier",
		"LoadBalancerName", "ServiceId", "DBProxyName")
	if group != "" {
		j.resources = []signalbox.Resource{j.resource(kind, "", group, false)}
	}
	j.impact = signalbox.Impact{Count: int64(n), Scope: signalbox.ScopeSome}
	switch {
	case n == 1:
		j.impact.Scope = signalbox.ScopeOne
	case n == 0:
		j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
		j.trait(signalbox.TraitUnscoped)
	}
}

// listener weighs what a load balancer does with its traffic.
func listener(j *judge) {
	for _, m := range []string{"DefaultActions", "Actions"} {
		for _, a := range j.p.structs(m) {
			switch strings.ToLower(a.text("Type")) {
			case "fixed-response":
				j.interrupt("answers by itself, so that nothing behind it is reached")
			case "forward":
				if strings.HasPrefix(j.name, "Modify") {
					j.trait(signalbox.TraitDial)
				}
			}
		}
	}
}

// tame are documents of AWS's own that look and report.
var tame = map[string]bool{
	"AWS-GatherSoftwareInventory": true, "AWS-UpdateSSMAgent": true, "AWS-ListWindowsInventory": true,
	"AWS-FindWindowsUpdates":            true,
	"AWSSupport-CollectEKSInstanceLogs": true, "AmazonCloudWatch-ManageAgent": true, "AWS-RunPatchBaseline": true,
}

func sendCommand(j *judge) {
	targets(j)
	document := shortName(j.p.text("DocumentName"), "document")
	if tame[document] && !strings.EqualFold(strings.Join(j.p.texts("Parameters", "Operation"), ""), "Install") {
		j.drop(signalbox.TraitOpaque)
	}
	j.say("runs " + clip(document) + " on hosts")
}

// targets weighs on how many hosts something runs.
func targets(j *judge) {
	ids := j.p.texts("InstanceIds")
	wide := false
	for _, t := range j.p.structs("Targets") {
		values := t.texts("Values")
		for _, v := range values {
			wide = wide || everything(v) || strings.Contains(v, "*")
		}
		if len(values) == 0 {
			wide = true
		}
		if strings.EqualFold(t.text("Key"), "InstanceIds") {
			ids = append(ids, values...)
		} else {
			j.trait(signalbox.TraitRange)
			j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeUnknown
		}
	}
	for _, id := range ids {
		wide = wide || everything(id)
	}
	switch {
	case wide || len(ids) == 0 && len(j.p.list("Targets")) == 0 && j.name == "SendCommand":
		j.trait(signalbox.TraitUnscoped)
		j.impact.Count, j.impact.Scope = signalbox.CountUnknown, signalbox.ScopeAll
		j.resources = []signalbox.Resource{{Type: "instance", Name: "*", Whole: true}}
	case len(ids) > 0:
		j.drop(signalbox.TraitUnscoped, signalbox.TraitTop)
		j.resources = nil
		for _, id := range ids {
			if len(j.resources) < maxResources {
				j.resources = append(j.resources, j.resource("instance", "", id, true))
			}
		}
		j.impact.Count, j.impact.Scope = int64(len(ids)), signalbox.ScopeOne
		if len(ids) > 1 {
			j.impact.Scope = signalbox.ScopeSome
		}
	}
}

// patches looks at changes that are written as paths and values.
func patches(j *judge) {
	for _, o := range j.p.structs("patchOperations") {
		at, value := o.text("path"), o.get("value")
		switch {
		case strings.Contains(strings.ToLower(at), "throttling") && text(value) == "0":
			j.interrupt("lets no request through")
		case strings.EqualFold(o.text("op"), "remove") && protective.MatchString(at):
			j.weaken("removes " + clip(at))
		case strings.Contains(strings.ToLower(at), "loglevel") && off(value):
			j.weaken("switches a log off")
		case strings.Contains(at, "deploymentId"), strings.Contains(at, "canary"):
			j.trait(signalbox.TraitDial)
		case strings.Contains(strings.ToLower(at), "policy") && looksJSON(text(value)):
			j.policy("policy", text(value))
		}
	}
}
