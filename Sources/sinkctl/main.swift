print("sinkctl")
