package probe

var kms = map[string]prober{
	"kms:ScheduleKeyDeletion":       keyGoes,
	"kms:DisableKey":                key,
	"kms:PutKeyPolicy":              key,
	"kms:DisableKeyRotation":        key,
	"kms:DeleteImportedKeyMaterial": keyGoes,
	"kms:DeleteAlias":               keyAlias,
}

func keyGoes(l *look) error {
	if err := key(l); err != nil {
		return err
	}
	l.fact("Everything that is encrypted under it can never be read again once it is gone; which data that is, AWS does not tell.")
	l.impact.Reversible = false
	return nil
}

func key(l *look) error { return keyBehind(l, l.text("KeyId")) }

func keyAlias(l *look) error {
	l.bind("alias", l.text("AliasName"))
	return keyBehind(l, l.text("AliasName"))
}

// keyBehind tells of a key, and of who was given the use of it.
func keyBehind(l *look, id string) error {
	a, err := l.ask("kms", "DescribeKey", map[string]any{"KeyId": id})
	if absent(err) {
		return l.gone("key", id)
	}
	if err != nil {
		return err
	}
	meta := func(name string) string { return a.Text("KeyMetadata", name) }
	l.fact("Key %s (%s), state %s, made %s, several regions: %t.", meta("KeyId"), meta("KeyUsage"), meta("KeyState"),
		meta("CreationDate"), a.Bool("KeyMetadata", "MultiRegion"))
	if d := meta("Description"); d != "" {
		l.fact("Its description says %q.", d)
	}
	var users, names []string
	whole, err := l.each(list{service: "kms", operation: "ListGrants", params: map[string]any{"KeyId": meta("KeyId")},
		items: []string{"Grants"}, token: "Marker", next: "NextMarker"}, func(g answer) {
		users = append(users,
			g.Text("GranteePrincipal"))
	})
	switch {
	case err != nil:
		l.fact("Its grants could not be read.")
	case !whole:
		l.fact("It has more than %d grants.", len(users))
	case len(users) == 0:
		l.fact("It has no grants.")
	default:
		l.fact("It is granted to %s.", frequencies(users))
	}
	l.impact.Dependants = int64(len(users))
	if _, err := l.each(list{service: "kms", operation: "ListAliases", params: map[string]any{"KeyId": meta("KeyId")},
		items: []string{"Aliases"}, token: "Marker", next: "NextMarker"}, func(g answer) { names = append(names, g.Text("AliasName")) }); err == nil && len(names) > 0 {
		l.fact("It is known as %s.", some(names))
	}
	l.bind("key", meta("Arn")+" "+meta("KeyState"))
	l.impact.Count = 1
	return nil
}
