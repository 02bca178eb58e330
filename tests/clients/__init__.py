"""The clients, beside what their own tests show: on real servers, and as packages."""
