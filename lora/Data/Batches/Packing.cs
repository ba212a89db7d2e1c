namespace CudaLora.Lora;

/// <summary>Fits examples into rows of a fixed length: best-fit decreasing, which wastes little and depends on nothing
/// but the lengths.</summary>
public static class Packing
{
    /// <summary>The rows, each a list of example indices whose lengths together are at most <paramref
    /// name="rowLength"/>.</summary>
    /// <param name="lengths">Tokens of each example.</param>
    /// <param name="rowLength">Room of a row.</param>
    /// <exception cref="ArgumentException">An example is longer than a row.</exception>
    public static IReadOnlyList<int[]> BestFitDecreasing(IReadOnlyList<int> lengths, int rowLength)
    {
        var order = Enumerable.Range(0, lengths.Count).OrderByDescending(i => lengths[i]).ThenBy(i => i).ToArray();
        if (order.Length > 0 && lengths[order[0]] > rowLength)
            throw new ArgumentException(
                $"[packing] examples must fit in a row of {rowLength}, but one has {lengths[order[0]]} tokens");
        var rows = new List<List<int>>();
        // Rows by the room they have left; room 0 is never looked at again.
        var byRoom = new Stack<int>[rowLength + 1];
        var rooms = new SortedSet<int>();
        foreach (int index in order)
        {
            int length = lengths[index];
            int row, room = rooms.GetViewBetween(length, rowLength).Min;
            if (room == 0)
            {
                (row, room) = (rows.Count, rowLength);
                rows.Add([]);
            }
            else
            {
                row = byRoom[room].Pop();
                if (byRoom[room].Count == 0) rooms.Remove(room);
            }
            rows[row].Add(index);
            room -= length;
            if (room == 0) continue;
            (byRoom[room] ??= new Stack<int>()).Push(row);
            rooms.Add(room);
        }
        return rows.Select(row => row.ToArray()).ToArray();
    }
}
