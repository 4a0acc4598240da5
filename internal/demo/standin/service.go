package standin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Usage is what a customer used on a day, in mills: tenths of a cent. Lines of
// it as JSON are what a table imports.
type Usage struct {
	Customer int   `json:"customer"`
	Day      int   `json:"day"`
	Mills    int64 `json:"mills"`
}

// A Bill is what the cost service answers to a customer, in cents.
type Bill struct {
	Customer int   `json:"customer"`
	Days     int   `json:"days"`
	Cents    int64 `json:"cents"`
}

// imported reads what a new table is filled with: the objects that its
// ImportSourceSpecification names, or nothing.
func (c *Cloud) imported(table *resource) ([]Usage, error) {
	source, _ := table.properties["ImportSourceSpecification"].(map[string]any)
	if source == nil {
		return nil, nil
	}
	from, _ := source["S3BucketSource"].(map[string]any)
	name, _ := from["S3Bucket"].(string)
	prefix, _ := from["S3KeyPrefix"].(string)
	b := c.buckets[name]
	if b == nil {
		return nil, fmt.Errorf("bucket %s of the import does not exist", name)
	}
	var all []Usage
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		for line := range strings.Lines(string(b.objects[key].body)) {
			var u Usage
			if err := json.Unmarshal([]byte(line), &u); err != nil {
				return nil, fmt.Errorf("import %s: %w", key, err)
			}
			all = append(all, u)
		}
	}
	return all, nil
}

// serveCustomer is the cost service stand-in: GET /costs?customer=7 gives that
// customer's bill. It runs on whatever stack has an ECS service with a table to
// read and a DNS record to be found by, and answers 503 while there is none.
func (c *Cloud) serveCustomer(w http.ResponseWriter, r *http.Request) {
	customer, err := strconv.Atoi(r.URL.Query().Get("customer"))
	if err != nil || r.URL.Path != "/costs" || r.Method != http.MethodGet {
		http.Error(w, "GET /costs?customer=7", http.StatusNotFound)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	for _, name := range slices.Sorted(maps.Keys(c.stacks)) {
		table, rounding := serving(c.stacks[name], c.now())
		if table == nil {
			continue
		}
		bill := Bill{Customer: customer}
		for _, u := range table.items {
			if u.Customer == customer {
				bill.Days++
				bill.Cents += round(u.Mills, rounding)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(bill) // a customer that hung up gets nothing
		return
	}
	http.Error(w, "the cost service is not available", http.StatusServiceUnavailable)
}

// serving gives the table that a stack's service reads and how it rounds, or
// nil when the stack serves nobody.
func serving(s *stack, now time.Duration) (table *resource, rounding string) {
	up := func(kind, physical string) *resource {
		for _, r := range s.resources {
			if r.kind == kind && (physical == "" || r.physical == physical) {
				switch r.status(now) {
				case "CREATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE":
					return r
				}
			}
		}
		return nil
	}
	service, record := up("AWS::ECS::Service", ""), up("AWS::Route53::RecordSet", "")
	if service == nil || record == nil {
		return nil, ""
	}
	name, _ := service.properties["TaskDefinition"].(string)
	task := up("AWS::ECS::TaskDefinition", name)
	if task == nil {
		return nil, ""
	}
	var containers []struct {
		Environment []struct{ Name, Value string }
	}
	if err := json.Unmarshal(canonical(task.properties["ContainerDefinitions"]), &containers); err != nil {
		return nil, ""
	}
	environment := map[string]string{}
	for _, container := range containers {
		for _, e := range container.Environment {
			environment[e.Name] = e.Value
		}
	}
	return up("AWS::DynamoDB::Table", environment["TABLE"]), environment["ROUNDING"]
}

// round makes cents of mills.
func round(mills int64, how string) int64 {
	if how == "half-up" {
		mills += 5
	}
	return mills / 10
}
