// Package awstest starts real servers that speak AWS's protocols and are thrown
// away: versitygw (S3; IAM with STS), dynalite (DynamoDB) and fauxqs (SQS, SNS).
//
// Each listens on a free loopback port and keeps its data in a folder of its
// own, which goes with it. A server never outlives the process that started it.
// versitygw verifies signatures; dynalite wants one and does not look at it;
// fauxqs takes anything. None of them is AWS: for what they do not speak (the ec2
// and rest-json protocols, CBOR) no server can be had here.
//
// What is missing is an error that says what to run: `make setup`.
package awstest
