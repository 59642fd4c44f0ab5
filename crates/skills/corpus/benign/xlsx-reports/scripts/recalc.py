import subprocess, sys

subprocess.run(["soffice", "--headless", "--convert-to", "xlsx", sys.argv[1]], check=True, timeout=120)
