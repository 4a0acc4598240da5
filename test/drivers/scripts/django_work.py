import os

import django
from django.conf import settings

settings.configure(INSTALLED_APPS=[], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", DATABASES={
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
                "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"],
                "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}})
django.setup()

from django.db import IntegrityError, connection, models, transaction  # noqa: E402


class Customer(models.Model):
    email = models.TextField(unique=True)
    name = models.TextField(default="")

    class Meta:
        app_label = "shop"
        db_table = "customers"
        managed = False


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    state = models.TextField(default="new")
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    note = models.TextField(null=True)

    class Meta:
        app_label = "shop"
        db_table = "orders"
        managed = False


print(Customer.objects.get_or_create(email="django@example.com", defaults={"name": "D"})[1])
print(Customer.objects.get_or_create(email="django@example.com")[1])
print(Customer.objects.update_or_create(email="django@example.com", defaults={"name": "E"})[1])
with transaction.atomic():
    c = Customer.objects.select_for_update().get(email="django@example.com")
    Order.objects.bulk_create([Order(customer=c, total=n) for n in range(5)])
    try:
        with transaction.atomic():
            Customer.objects.create(email="django@example.com")
    except IntegrityError:
        print("duplicate")
    print(Order.objects.filter(customer=c).update(state="paid"))
print(Order.objects.filter(customer__email="c1@example.com").count())
print([o.id for o in Order.objects.order_by("id").iterator(chunk_size=100)][-1])
o = Order.objects.get(id=1)
o.note = "seen"
o.save()
Order.objects.filter(id=2).delete()
with connection.schema_editor() as editor:
    class Tag(models.Model):
        name = models.CharField(max_length=40, unique=True)

        class Meta:
            app_label = "shop"
    editor.create_model(Tag)
Tag.objects.create(name="one")
print(list(Tag.objects.values_list("name", flat=True)), sorted(connection.introspection.table_names()))
