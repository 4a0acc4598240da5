from sqlalchemy import Column, ForeignKey, Integer, Numeric, Text, create_engine, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, declarative_base, relationship

Base = declarative_base()


class Customer(Base):
    __tablename__ = "customers"
    id = Column(Integer, primary_key=True)
    email = Column(Text, unique=True)
    name = Column(Text, server_default="")
    orders = relationship("Order")


class Order(Base):
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)
    customer_id = Column(ForeignKey("customers.id"))
    state = Column(Text, server_default="new")
    total = Column(Numeric(10, 2), server_default="0")


engine = create_engine("postgresql+psycopg2://", future=True, pool_pre_ping=True)
with Session(engine) as s, s.begin():
    c = Customer(email="sqlalchemy@example.com", orders=[Order(total=n) for n in range(5)])
    s.add(c)
    s.flush()
    try:
        with s.begin_nested():
            s.add(Customer(email="sqlalchemy@example.com"))
    except IntegrityError as e:
        print(e.orig.pgcode)
    c.name = "S"
    print(c.id)
with Session(engine) as s:
    c = s.execute(select(Customer).where(Customer.email == "sqlalchemy@example.com").with_for_update()).scalar_one()
    print(c.name, len(c.orders))
    s.delete(c.orders[0])
    s.commit()
with engine.connect().execution_options(isolation_level="SERIALIZABLE") as conn, conn.begin():
    print(conn.execute(text("SELECT count(*) FROM orders")).scalar())
print(sorted(inspect(engine).get_table_names()), [c["name"] for c in inspect(engine).get_columns("orders")])
