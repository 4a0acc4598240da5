"""Has botocore serialise one request per operation of its own models.

Prints a line of JSON for each: what was asked (service, operation, params) and
the request as it would go out. The parameters are made up here, of every type
and different at every place. Run by oracle_test.go with the Python that Debian's
package awscli is for.
"""

import base64
import datetime
import json
import sys

import awscli.botocore.session
from awscli.botocore.awsrequest import create_request_object, prepare_request_dict
from awscli.botocore.serialize import create_serializer

MOMENT = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)


class Maker:
    """Makes up a value for a shape, in the form that botocore takes and in the
    form that is expected back."""

    def __init__(self):
        self.n = 0

    def make(self, shape, where, open_shapes):
        self.n += 1
        kind = shape.type_name
        if kind in ("structure", "list", "map"):
            if open_shapes.count(shape.name) > 1 or len(open_shapes) > 6:
                return None
            return getattr(self, kind)(shape, where, open_shapes + [shape.name])
        if kind == "timestamp":
            return MOMENT, "2023-11-14T22:13:20Z"
        if kind == "blob":
            raw = b"bytes\x00\xff %d" % self.n
            return raw, base64.b64encode(raw).decode()
        if kind in ("integer", "long"):
            return self.n, self.n
        if kind in ("float", "double"):
            return self.n + 0.5, self.n + 0.5
        if kind == "boolean":
            return self.n % 2 == 0, self.n % 2 == 0
        text = self.text(where)
        return text, text

    def text(self, where):
        if where.get("location") in ("header", "headers"):
            return "header-%d" % self.n
        if where.get("name") == "Bucket":
            return "bucket.%d" % self.n
        if where.get("name") == "QueueUrl":
            return "https://gate.test/"
        return 'text %d/ü+&=%%;<"$' % self.n

    def structure(self, shape, where, open_shapes):
        if getattr(shape, "is_document_type", False):
            v = {"colour": ["blue", 1, {"deep": True}]}
            return v, v
        sent, expected = {}, {}
        for name, member in shape.members.items():
            s = member.serialization
            if s.get("eventstream") or getattr(member, "is_event_stream", False) or s.get("eventpayload"):
                continue
            inside = dict(where)
            if len(open_shapes) == 1:
                inside = {"location": s.get("location"), "name": name}
            if s.get("jsonvalue") and s.get("location") == "header":
                sent[name], expected[name] = {"n": self.n}, '{"n":%d}' % self.n
                continue
            made = self.make(member, inside, open_shapes)
            if made is not None:
                sent[name], expected[name] = made
        return (sent, expected) if sent else None

    def list(self, shape, where, open_shapes):
        made = [self.make(shape.member, where, open_shapes) for _ in range(2)]
        if None in made:
            return None
        return [m[0] for m in made], [m[1] for m in made]

    def map(self, shape, where, open_shapes):
        made = {key: self.make(shape.value, where, open_shapes) for key in ("one", "two-b")}
        if None in made.values():
            return None
        return {k: m[0] for k, m in made.items()}, {k: m[1] for k, m in made.items()}


def main():
    session = awscli.botocore.session.get_session()
    for service in session.get_available_services():
        model = session.get_service_model(service)
        serializer = create_serializer(model.metadata["protocol"], include_validation=False)
        for name in model.operation_names:
            operation = model.operation_model(name)
            made = operation.input_shape and Maker().make(operation.input_shape, {}, [])
            sent, expected = made or ({}, {})
            for label in sent:
                if "{%s}" % label in (operation.endpoint or {}).get("hostPrefix", ""):
                    sent[label] = expected[label] = "123456789012"
            request = serializer.serialize_to_request(sent, operation)
            prepare_request_dict(request, "https://gate.test", context={}, user_agent="oracle")
            prepared = create_request_object(request).prepare()
            body = prepared.body or b""
            if isinstance(body, str):
                body = body.encode()
            json.dump(
                {
                    "service": model.metadata["serviceId"],
                    "signing": "" if operation.auth_type == "none" else model.signing_name,
                    "operation": name,
                    "template": "%(method)s %(requestUri)s" % operation.http,
                    "params": expected,
                    "method": prepared.method,
                    "url": prepared.url,
                    "header": {k: v.decode() if isinstance(v, bytes) else v for k, v in prepared.headers.items()},
                    "body": base64.b64encode(body).decode(),
                },
                sys.stdout,
            )
            print()


main()
