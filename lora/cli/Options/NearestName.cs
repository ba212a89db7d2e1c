namespace CudaLora.Cli;

/// <summary>Answers a mistyped name with the one that was probably meant.</summary>
internal static class NearestName
{
    /// <summary>The closest candidate, or null if none is near. Case and the choice of - or _ do not count.</summary>
    public static string? Of(string name, IEnumerable<string> candidates)
    {
        var wanted = Plain(name);
        var best = candidates
            .Select(candidate => (candidate, distance: Distance(wanted, Plain(candidate))))
            .OrderBy(c => c.distance)
            .ThenBy(c => c.candidate, StringComparer.Ordinal)
            .FirstOrDefault();
        return best.candidate is not null && best.distance <= Math.Max(1, wanted.Length / 3) ? best.candidate : null;
    }

    /// <summary>"; did you mean 'x'?", or nothing.</summary>
    public static string Hint(string name, IEnumerable<string> candidates) =>
        Of(name, candidates) is { } near ? $"; did you mean '{near}'?" : "";

    private static string Plain(string name) => name.TrimStart('-').Replace('_', '-').ToLowerInvariant();

    // Edits: insert, delete, replace, swap of neighbours; each costs one.
    private static int Distance(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++) d[i, 0] = i;
        for (var j = 0; j <= b.Length; j++) d[0, j] = j;
        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var replace = d[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                d[i, j] = Math.Min(replace, Math.Min(d[i - 1, j], d[i, j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
            }
        }
        return d[a.Length, b.Length];
    }
}
