namespace CudaLora.Engine;

/// <summary>
/// A mistake in what the user gave: a file, an option, a data set. The message is one complete line that names the
/// thing and what is accepted; the command line prints it without a stack trace and exits with code 1.
/// </summary>
public class UserErrorException : Exception
{
    /// <summary>Creates the error from its one line.</summary>
    public UserErrorException(string message) : base(message)
    {
    }

    /// <summary>Creates the error from its one line, keeping the failure that led to it.</summary>
    public UserErrorException(string message, Exception? inner) : base(message, inner)
    {
    }

    /// <summary>Creates an error without text.</summary>
    public UserErrorException()
    {
    }
}
