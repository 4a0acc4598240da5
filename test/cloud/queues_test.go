//go:build unix

package cloud_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// SQS in its JSON protocol, SNS in the query protocol.
func TestQueuesAndTopics(t *testing.T) {
	h, _ := before(t, signalbox.Development, awstest.Queues)
	s := h.session()
	q, topics, ctx := sqs.NewFromConfig(s.sdk()), sns.NewFromConfig(s.sdk()), t.Context()
	made, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
	h.must(err)
	const text = "ümläut & <xml> + 100 %"
	_, err = q.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String(text)})
	h.must(err)
	got, err := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl})
	h.must(err)
	if len(got.Messages) != 1 || *got.Messages[0].Body != text {
		t.Fatalf("received %+v", got.Messages)
	}
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("news")})
	h.must(err)
	attributes, err := q.GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl,
			AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
	h.must(err)
	_, err = topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"),
		Endpoint: aws.String(attributes.Attributes["QueueArn"])})
	h.must(err)
	_, err = topics.Publish(ctx, &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String(text)})
	h.must(err)
	got, err = q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, WaitTimeSeconds: 2})
	h.must(err)
	if len(got.Messages) != 1 || !strings.Contains(*got.Messages[0].Body, "100 %") {
		t.Errorf("the topic's message: %+v", got.Messages)
	}
	s.runs("news", "sns", "list-topics")
}

// DynamoDB in its own JSON, with values that JSON libraries round.
func TestDynamoDBThroughTheSDK(t *testing.T) {
	h, _ := before(t, signalbox.Development, awstest.DynamoDB)
	c, ctx := dynamodb.NewFromConfig(h.session().sdk()), t.Context()
	name := aws.String("orders")
	_, err := c.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"),
			AttributeType: types.ScalarAttributeTypeN}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
	})
	h.must(err)
	id := &types.AttributeValueMemberN{Value: "12345678901234567890123456789012345678"}
	_, err = c.PutItem(ctx, &dynamodb.PutItemInput{TableName: name,
		Item: map[string]types.AttributeValue{"id": id, "blob": &types.AttributeValueMemberB{Value: noise(1000)}}})
	h.must(err)
	got, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: name, Key: map[string]types.AttributeValue{"id": id}})
	h.must(err)
	if n, ok := got.Item["id"].(*types.AttributeValueMemberN); !ok || n.Value != id.Value {
		t.Errorf("item %+v", got.Item)
	}
	if b, ok := got.Item["blob"].(*types.AttributeValueMemberB); ok {
		h.same("the blob", b.Value, noise(1000))
	}
	_, err = c.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: name, Key: map[string]types.AttributeValue{"id": id}, UpdateExpression: aws.String("SET #s = :s"), ConditionExpression: aws.String("attribute_not_exists(id)"),
		ExpressionAttributeNames:  map[string]string{"#s": "status"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":s": &types.AttributeValueMemberS{Value: "paid"}},
	})
	if code(err) != "ConditionalCheckFailedException" {
		t.Errorf("the server's own error: %v", err)
	}
}
