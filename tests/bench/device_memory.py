"""What nvidia-smi says about the first GPU: its name, and the largest amount of memory in use while something runs."""
import subprocess
import threading
import time


def query(fields):
    """The fields of the first GPU, or None where nvidia-smi does not answer."""
    try:
        done = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"],
                              capture_output=True, text=True)
    except OSError:
        return None
    lines = done.stdout.strip().splitlines()
    return [cell.strip() for cell in lines[0].split(",")] if done.returncode == 0 and lines else None


def device_name():
    return ", driver ".join(query(["name", "driver_version"]) or ["no GPU"])


class DeviceMemory(threading.Thread):
    """Bytes beyond those in use when it was made. Not by process: in a container nvidia-smi knows other process numbers."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before = self.peak = self.used()
        self.over = threading.Event()

    @staticmethod
    def used():
        found = query(["memory.used"])
        return int(found[0]) << 20 if found and found[0].isdigit() else None

    def run(self):
        while self.before is not None and not self.over.is_set():
            self.peak = max(self.peak, self.used() or 0)
            time.sleep(0.2)

    def stop(self):
        """The largest amount, None where there is nobody to ask."""
        self.over.set()
        self.join()
        return None if self.before is None else self.peak - self.before
