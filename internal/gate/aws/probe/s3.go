package probe

import (
	"fmt"
	"strings"
)

var s3 = map[string]prober{
	"s3:DeleteBucket":                       bucketGoes,
	"s3:DeleteObject":                       objectGoes,
	"s3:DeleteObjects":                      objectsGo,
	"s3:PutObject":                          objectReplaced,
	"s3:CopyObject":                         objectReplaced,
	"s3:PutBucketLifecycleConfiguration":    bucket,
	"s3:PutBucketLifecycle":                 bucket,
	"s3:DeleteBucketLifecycle":              bucket,
	"s3:PutBucketVersioning":                bucket,
	"s3:PutBucketReplication":               bucket,
	"s3:DeleteBucketReplication":            bucket,
	"s3:PutBucketPolicy":                    bucketAccess,
	"s3:DeleteBucketPolicy":                 bucketAccess,
	"s3:PutBucketAcl":                       bucketAccess,
	"s3:PutPublicAccessBlock":               bucketAccess,
	"s3:DeletePublicAccessBlock":            bucketAccess,
	"s3:PutBucketOwnershipControls":         bucketAccess,
	"s3:PutBucketEncryption":                bucket,
	"s3:DeleteBucketEncryption":             bucket,
	"s3:PutBucketLogging":                   bucket,
	"s3:PutObjectLockConfiguration":         bucket,
	"s3:PutBucketNotificationConfiguration": bucket,
	"s3:DeleteBucketWebsite":                bucket,
}

func bucketGoes(l *look) error {
	if err := bucket(l); err != nil {
		return err
	}
	l.impact.Reversible = false
	if l.impact.Count > 0 {
		l.fact("S3 refuses to delete a bucket that is not empty.")
	}
	return nil
}

// bucket counts what is in a bucket, and tells what protects it.
func bucket(l *look) error {
	name := l.text("Bucket")
	var n, bytes int64
	whole, err := l.each(list{service: "s3", operation: "ListObjectsV2", params: map[string]any{"Bucket": name},
		items: []string{"Contents"}, token: "ContinuationToken", next: "NextContinuationToken"}, func(o answer) {
		n++
		bytes += o.Int("Size")
	})
	if absent(err) {
		return l.gone("bucket", name)
	}
	if err != nil {
		return err
	}
	l.fact("Bucket %s holds %s of %d bytes.", name, plural(int(n), "object"), bytes)
	l.count(n, whole)
	l.impact.Total = n
	l.bind("bucket", name)
	if err := versioning(l, name); err != nil {
		return err
	}
	replicated(l, name)
	return nil
}

// versioning tells whether old versions are kept, and binds it: what can be
// undone under versioning cannot without.
func versioning(l *look, bucket string) error {
	a, err := l.ask("s3", "GetBucketVersioning", map[string]any{"Bucket": bucket})
	if err != nil {
		return err
	}
	status := strings.ToLower(firstOf(a.Text("Status"), "off"))
	l.fact("Versioning is %s.", status)
	l.bind("versioning", status)
	return nil
}

func versioned(l *look) bool {
	for _, f := range l.state {
		if f.Name == "versioning" {
			return f.Value == "enabled"
		}
	}
	return false
}

func replicated(l *look, bucket string) {
	a, err := l.ask("s3", "GetBucketReplication", map[string]any{"Bucket": bucket})
	switch {
	case absent(err):
		l.fact("It is not replicated.")
	case err != nil:
		l.fact("Whether it is replicated could not be told.")
	default:
		l.fact("It has %s.", plural(len(a.List("ReplicationConfiguration", "Rules"))+len(a.List("Rules")),
			"replication rule"))
	}
}

func bucketAccess(l *look) error {
	if err := bucket(l); err != nil {
		return err
	}
	name := map[string]any{"Bucket": l.text("Bucket")}
	_, err := l.ask("s3", "GetBucketPolicy", name)
	switch {
	case absent(err):
		l.fact("It has no bucket policy now.")
	case err != nil:
		l.fact("Whether it has a bucket policy could not be told.")
	default:
		l.fact("It has a bucket policy now.")
	}
	a, err := l.ask("s3", "GetPublicAccessBlock", name)
	switch {
	case absent(err):
		l.fact("Public access is not blocked by the bucket itself.")
	case err != nil:
		l.fact("Whether public access is blocked could not be told.")
	default:
		all := true
		for _, m := range []string{"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
			"RestrictPublicBuckets"} {
			all = all && a.Bool(m)
		}
		l.fact("Public access is blocked altogether: %t.", all)
	}
	return nil
}

func objectGoes(l *look) error {
	bucket, key := l.text("Bucket"), l.text("Key")
	there, err := object(l, bucket, key, l.text("VersionId"))
	if err != nil || !there {
		return err
	}
	if err := versioning(l, bucket); err != nil {
		return err
	}
	l.impact.Count = 1
	l.impact.Reversible = versioned(l) && l.text("VersionId") == ""
	if l.impact.Reversible {
		l.fact("The old version stays, and can be had again.")
	}
	return nil
}

// object tells of an object, and binds its content. It reports false when there
// is none.
func object(l *look, bucket, key, version string) (bool, error) {
	params := map[string]any{"Bucket": bucket, "Key": key}
	if version != "" {
		params["VersionId"] = version
	}
	a, err := l.ask("s3", "HeadObject", params)
	if absent(err) {
		l.fact("There is no object %q now.", key)
		l.bind("object "+key, "absent")
		l.impact.Count = 0
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.fact("Object %q has %d bytes, changed %s.", key, a.Int("ContentLength"), a.Text("LastModified"))
	l.bind("object "+key, a.Text("ETag")+" "+a.Text("VersionId"))
	return true, nil
}

func objectReplaced(l *look) error {
	bucket, key := l.text("Bucket"), l.text("Key")
	there, err := object(l, bucket, key, "")
	if err != nil {
		return err
	}
	l.impact.Count = 1
	if !there {
		return nil
	}
	if err := versioning(l, bucket); err != nil {
		return err
	}
	l.fact("It would be replaced.")
	l.impact.Reversible = versioned(l)
	return nil
}

// objectsGo looks at the first objects of a batch one by one; the count is that
// of the batch.
func objectsGo(l *look) error {
	const most = 25
	batch, _ := l.call.Parameters["Delete"].(map[string]any)
	objects, _ := batch["Objects"].([]any)
	if len(objects) == 0 {
		return fmt.Errorf("no object is named")
	}
	reversible := true
	for i, o := range objects {
		member, _ := o.(map[string]any)
		key, _ := member["Key"].(string)
		version, _ := member["VersionId"].(string)
		reversible = reversible && version == ""
		if i >= most {
			continue
		}
		if _, err := object(l, l.text("Bucket"), key, version); err != nil {
			return err
		}
	}
	if len(objects) > most {
		l.fact("The other %d objects were not looked at.", len(objects)-most)
	}
	if err := versioning(l, l.text("Bucket")); err != nil {
		return err
	}
	l.impact.Count = int64(len(objects))
	l.impact.Reversible = reversible && versioned(l)
	return nil
}
