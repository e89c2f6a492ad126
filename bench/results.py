"""What was measured: medians, ratios, and what the bars say of them."""

from statistics import median

# What all servers are compared with in the table.
FLOOR = "floor"


class Results:
    """The load client's reports by cell and server, one for each round."""

    def __init__(self):
        self._reports = {}

    def add(self, cell, server, report):
        self._reports.setdefault((cell.title, server), []).append(report)

    def of(self, cell, server):
        return self._reports.get((cell.title, server), [])

    def all(self):
        return [report for reports in self._reports.values() for report in reports]

    def value(self, cell, server, field):
        """The median over the rounds; nothing if the cell was not measured."""
        reports = self.of(cell, server)
        return median(report[field] for report in reports) if reports else None

    def ratio(self, cell, server, field, versus=FLOOR):
        """The median of the ratios within each round: what slows the machine slows both."""
        pairs = zip(self.of(cell, server), self.of(cell, versus))
        ratios = [report[field] / other[field] for report, other in pairs if other[field]]
        return median(ratios) if ratios else None

    def bar(self, bar):
        """What a bar is about."""
        if bar.versus:
            return self.ratio(bar.cell, bar.server, bar.field, bar.versus)
        return self.value(bar.cell, bar.server, bar.field)


def table(servers, cells, results):
    """Rows of words: the cell, the figure, and of each server the median with its ratio to the floor."""
    rows = []
    for cell in cells:
        for figure in cell.figures:
            row = [cell.title, figure.label]
            for server in servers:
                value = results.value(cell, server.name, figure.field)
                to_floor = results.ratio(cell, server.name, figure.field)
                text = "-" if value is None else figure.show(value)
                if server.name != FLOOR and figure.ratio and to_floor is not None:
                    text += f" ({to_floor:.2f})"
                row.append(text)
            rows.append(row)
    return rows


def verdicts(bars, results):
    """Of each bar whether it is met, what it says, what was measured, and its limit. Not measured is not met."""
    for bar in bars:
        value = results.bar(bar)
        limit = f"at least {bar.at_least:g}" if bar.at_least is not None else f"at most {bar.at_most:g}"
        measured = "not measured" if value is None else bar.show(value)
        yield value is not None and bar.met(value), bar.text, measured, limit
