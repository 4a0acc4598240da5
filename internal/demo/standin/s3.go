package standin

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A bucket holds objects by their keys, without versions.
type bucket struct {
	created time.Duration
	objects map[string]object
}

type object struct {
	body     []byte
	kind     string // Content-Type
	modified time.Duration
}

// etag is what S3 gives an object that was put in one piece.
func (o object) etag() string {
	sum := md5.Sum(o.body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// fetch reads an object by its URL, path- or host-style, in this cloud alone.
func (c *Cloud) fetch(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", invalid("TemplateURL must reference a valid S3 object to which you have access.")
	}
	path := strings.TrimPrefix(u.Path, "/")
	if name, _, ok := strings.Cut(u.Hostname(), ".s3."); ok {
		path = name + "/" + path
	}
	name, key, _ := strings.Cut(path, "/")
	if b := c.buckets[name]; b != nil {
		if o, ok := b.objects[key]; ok {
			return string(o.body), nil
		}
	}
	return "", invalid("TemplateURL must reference a valid S3 object to which you have access.")
}

const s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// serveS3 answers one path-style request.
func (c *Cloud) serveS3(w http.ResponseWriter, r *http.Request, body []byte) {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	b := c.buckets[name]
	fail := func(status int, code, message string) { (&refusal{status, code, message}).write(w, "s3") }
	xmlReply := func(document string, v any) {
		w.Header().Set("Content-Type", "application/xml")
		reply(w, document, s3Namespace, v)
	}
	switch {
	case name == "" && r.Method == http.MethodGet:
		xmlReply("ListAllMyBucketsResult", c.listBuckets())
	case key == "" && r.Method == http.MethodPut && len(q) == 0:
		if b == nil {
			c.buckets[name] = &bucket{created: c.now(), objects: map[string]object{}}
		}
		w.Header().Set("Location", "/"+name)
	case b == nil:
		fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	case key != "" && (len(q) == 0 || len(q) == 1 && q.Has("x-id")):
		c.serveObject(w, r, b, key, body, fail)
	case key != "":
		fail(http.StatusNotImplemented, "NotImplemented", "the stand-in cloud has no "+r.Method+" of an object with "+
			r.URL.RawQuery)
	case r.Method == http.MethodHead:
	case r.Method == http.MethodPost && q.Has("delete"):
		v, err := b.deleteObjects(body)
		if err != nil {
			fail(http.StatusBadRequest, "MalformedXML", err.Error())
			return
		}
		xmlReply("DeleteResult", v)
	case r.Method == http.MethodDelete && len(q) == 0:
		if len(b.objects) > 0 {
			fail(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
			return
		}
		delete(c.buckets, name)
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet:
		fail(http.StatusNotImplemented, "NotImplemented", "the stand-in cloud has no "+r.Method+" of a bucket with "+
			r.URL.RawQuery)
	case q.Get("list-type") == "2":
		xmlReply("ListBucketResult", c.listObjects(name, b, q))
	case q.Has("versions"):
		xmlReply("ListVersionsResult", c.listVersions(name, b, q))
	case q.Has("versioning"):
		xmlReply("VersioningConfiguration", struct{}{})
	case q.Has("location"):
		xmlReply("LocationConstraint", Region)
	case q.Has("replication"):
		fail(http.StatusNotFound, "ReplicationConfigurationNotFoundError",
			"The replication configuration was not found")
	case q.Has("object-lock"):
		fail(http.StatusNotFound, "ObjectLockConfigurationNotFoundError",
			"Object Lock configuration does not exist for this bucket")
	default:
		fail(http.StatusNotImplemented, "NotImplemented", "the stand-in cloud has no GET of a bucket with "+
			r.URL.RawQuery)
	}
}

func (c *Cloud) serveObject(w http.ResponseWriter, r *http.Request, b *bucket, key string, body []byte,
	fail func(int, string, string)) {
	o, there := b.objects[key]
	switch r.Method {
	case http.MethodPut:
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			fail(http.StatusNotImplemented, "NotImplemented", "the stand-in cloud copies no objects")
			return
		}
		o = object{body: body, kind: r.Header.Get("Content-Type"), modified: c.now()}
		b.objects[key] = o
		w.Header().Set("ETag", o.etag())
	case http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		if !there {
			fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
			return
		}
		w.Header().Set("ETag", o.etag())
		w.Header().Set("Content-Type", o.kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
		w.Header().Set("Last-Modified", c.began.Add(o.modified).UTC().Format(http.TimeFormat))
		if strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") {
			sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(o.body))
			w.Header().Set("X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString(sum))
			w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(o.body) // a client that hung up gets nothing
		}
	default:
		fail(http.StatusNotImplemented, "NotImplemented", "the stand-in cloud has no "+r.Method+" of an object")
	}
}

func (c *Cloud) listBuckets() any {
	type entry struct{ Name, CreationDate string }
	var out struct {
		Owner struct {
			ID string
		}
		Buckets []entry `xml:"Buckets>Bucket"`
	}
	out.Owner.ID = Account
	for _, name := range slices.Sorted(maps.Keys(c.buckets)) {
		out.Buckets = append(out.Buckets, entry{name, c.clock(c.buckets[name].created)})
	}
	return out
}

// maxKeys is how many keys a list holds at most, where less is not asked for.
func maxKeys(q url.Values) int {
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n >= 0 && n < 1000 {
		return n
	}
	return 1000
}

type entryXML struct {
	Key          string
	VersionID    string `xml:"VersionId,omitempty"`
	IsLatest     bool   `xml:",omitempty"`
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

// page gives the entries after a key, at most n of them, and where to go on.
func (c *Cloud) page(b *bucket, prefix, after string, n int) (list []entryXML, next string) {
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(list) == n {
			return list, list[n-1].Key
		}
		o := b.objects[key]
		list = append(list, entryXML{Key: key, LastModified: c.clock(o.modified), ETag: o.etag(), Size: len(o.body),
			StorageClass: "STANDARD"})
	}
	return list, ""
}

func (c *Cloud) listObjects(name string, b *bucket, q url.Values) any {
	var out struct {
		Name, Prefix          string
		KeyCount, MaxKeys     int
		IsTruncated           bool
		NextContinuationToken string     `xml:",omitempty"`
		Contents              []entryXML `xml:"Contents"`
	}
	after := q.Get("start-after")
	if t := q.Get("continuation-token"); t != "" {
		after = t
	}
	out.Name, out.Prefix, out.MaxKeys = name, q.Get("prefix"), maxKeys(q)
	if out.MaxKeys > 0 {
		out.Contents, out.NextContinuationToken = c.page(b, out.Prefix, after, out.MaxKeys)
	}
	out.KeyCount, out.IsTruncated = len(out.Contents), out.NextContinuationToken != ""
	return out
}

func (c *Cloud) listVersions(name string, b *bucket, q url.Values) any {
	var out struct {
		Name, Prefix        string
		MaxKeys             int
		IsTruncated         bool
		NextKeyMarker       string     `xml:",omitempty"`
		NextVersionIDMarker string     `xml:"NextVersionIdMarker,omitempty"`
		Versions            []entryXML `xml:"Version"`
	}
	out.Name, out.Prefix, out.MaxKeys = name, q.Get("prefix"), maxKeys(q)
	if out.MaxKeys > 0 {
		out.Versions, out.NextKeyMarker = c.page(b, out.Prefix, q.Get("key-marker"), out.MaxKeys)
	}
	if out.IsTruncated = out.NextKeyMarker != ""; out.IsTruncated {
		out.NextVersionIDMarker = "null"
	}
	for i := range out.Versions {
		out.Versions[i].VersionID, out.Versions[i].IsLatest = "null", true
	}
	return out
}

func (b *bucket) deleteObjects(body []byte) (any, error) {
	var in struct {
		Objects []struct{ Key string } `xml:"Object"`
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	type deleted struct{ Key string }
	var out struct{ Deleted []deleted }
	for _, o := range in.Objects {
		delete(b.objects, o.Key)
		out.Deleted = append(out.Deleted, deleted(o))
	}
	return out, nil
}
